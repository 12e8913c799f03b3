"""A network that came as an ONNX file beside a text model of its size: what importing it costs.

    python -m benchmarks.imported [--seconds 3] [--rounds 5] [--sessions 256]

The imported one is an LSTM of 128 over readings of three columns, with four labels, as PyTorch's exporter
writes it, states and all. Beside it, served by the same process in the same rounds, a text generator and a
text classifier with an LSTM of 128, which the exporter of this project wrote: sessions are compared with
sessions of the one, `POST /sequence` with `POST /sentiment` of the other. A sequence has 128 rows, a text
128 tokens.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import cast

import orjson
import torch
import uvloop
from torch import Tensor, nn

from app.features.text import TextCodec
from app.tasks.generate.task import TASK as GENERATE
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.sequence.task import TASK as SEQUENCE
from app.tasks.task import Load
from benchmarks import bundle as bundles
from benchmarks import wrk
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server
from benchmarks.stateful_load import MODES, run
from rnnserve_bench.options import BenchOptions, Way
from rnnserve_bench.scenarios import connect_sessions
from rnnserve_bench.sessions import open_sessions
from training.export import describe_run, export_bundle
from training.importing.importer import import_model
from training.importing.options import parse_options
from training.sentiment.net import Classifier, ClassifierConfig
from training.tokenizers import character_tokenizer

HIDDEN, COLUMNS, STEPS = 128, 3, 128
LABELS = ("still", "walking", "running", "falling")
IMPORTED, TEXT, CLASSES = "imported", "text", "classes"
LEAST = 0.9
_BODIES = 64

Rounds = dict[str, list[float]]


class Motion(nn.Module):
    """A classifier over readings, its state an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(COLUMNS, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, len(LABELS))

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of each step, and the next state."""
        y, (h, c) = self.rnn(x, (h0, c0))
        return self.head(y), h, c


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=256)
    parser.add_argument("--connections", type=int, default=16, help="of whole sequences")
    options = parser.parse_args()
    rounds = uvloop.run(measure(options))
    publish("imported", figures(rounds, options), {"options": vars(options), "rounds": rounds})


def write_models(folder: Path) -> Path:
    """The three of them."""
    models = folder / "models"
    torch.manual_seed(0)
    state = {1: "batch"}
    axes = {"x": {0: "batch", 1: "time"}, "h0": state, "c0": state, "y": {0: "batch", 1: "time"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Motion().eval(),
            (torch.zeros(2, 5, COLUMNS), torch.zeros(1, 2, HIDDEN), torch.zeros(1, 2, HIDDEN)),
            str(folder / "motion.onnx"),
            dynamo=False,
            input_names=["x", "h0", "c0"],
            output_names=["y", "hn", "cn"],
            dynamic_axes={**axes, "hn": state, "cn": state},
        )
    flags = {
        "model": folder / "motion.onnx",
        "name": IMPORTED,
        "out": models,
        "columns": "x,y,z",
        "labels": LABELS,
    }
    import_model(parse_options(flags, None), lambda line: None)
    bundles.write_bundle(models, hidden=HIDDEN, layers=1, name=TEXT)
    tokenizer = character_tokenizer([bundles.CHARACTERS])
    vocabulary = TextCodec(tokenizer).size
    export_bundle(
        Classifier(ClassifierConfig(vocabulary, labels=2, cell="lstm", embedding=64, hidden=HIDDEN)),
        out=models,
        name=CLASSES,
        version="1",
        description="For measurements.",
        spec=SentimentSpec(vocabulary=vocabulary, labels=("negative", "positive")),
        provenance=describe_run("benchmarks.imported", 0),
        files={"tokenizer.json": tokenizer.encode()},
    )
    return models


def reading(chance: random.Random) -> list[float]:
    """As a sensor writes it."""
    return [round(chance.gauss(0, 1), 3) for _ in range(COLUMNS)]


def loads() -> dict[str, tuple[str, Load]]:
    """Task and session inputs of the two models whose sessions are fed."""
    chance = random.Random(0)
    rows = [orjson.dumps(reading(chance)) for _ in range(_BODIES)]
    return {
        TEXT: ("generate", GENERATE.load),
        IMPORTED: ("sequence", replace(SEQUENCE.load, inputs=lambda number: rows[number % _BODIES])),
    }


def bodies() -> dict[str, tuple[str, list[bytes]]]:
    """Path and requests of whole sequences."""
    chance = random.Random(0)
    texts = ["".join(chance.choices(bundles.CHARACTERS[:-1], k=STEPS)) for _ in range(_BODIES)]
    rows = [[reading(chance) for _ in range(STEPS)] for _ in range(_BODIES)]
    return {
        CLASSES: ("/sentiment", [orjson.dumps({"model": CLASSES, "text": text}) for text in texts]),
        IMPORTED: (
            "/sequence",
            [orjson.dumps({"model": IMPORTED, "rows": one, "read": "last"}) for one in rows],
        ),
    }


async def measure(options: argparse.Namespace) -> Rounds:
    """All rounds; who comes first changes from round to round."""
    found: Rounds = {}

    def note(name: str, rate: float) -> None:
        print(f"  {name:44} {rate:8.0f}/s", flush=True)
        found.setdefault(name, []).append(rate)

    with tempfile.TemporaryDirectory() as name:
        models = write_models(Path(name))
        for number in range(options.rounds):
            with Server(models, state_dir=Path(name) / f"state{number}", log_level="warning") as server:
                order = slice(None, None, -1 if number % 2 else 1)
                for mode in MODES:
                    for model, (task, load) in [*loads().items()][order]:
                        ids = [f"{mode}-{model}-{index}" for index in range(options.sessions)]
                        await open_sessions(server.url, ids, {"model": model})
                        way = cast(Way, mode)
                        asked = BenchOptions(server.url, task, load, sessions=True, way=way, clients=len(ids))
                        record = await run(*await connect_sessions(ids, asked), options.seconds)
                        if record.failures:
                            raise RuntimeError(f"{model}, {mode}: failures {dict(record.failures)}")
                        note(f"{mode} {model}", record.per_s)
                for model, (path, sent) in [*bodies().items()][order]:
                    url = f"{server.url}{path}"
                    closed = await wrk.closed(url, sent, options.connections, options.seconds)
                    if closed.wrong or closed.lost:
                        raise RuntimeError(f"{url}: {closed.wrong} wrong, {closed.lost} lost")
                    note(f"whole {model}", closed.per_s)
    return found


def figures(rounds: Rounds, options: argparse.Namespace) -> list[Figure]:
    """The imported network against the text model of its size, for each way to ask."""
    found = []
    for mode, title in MODES.items():
        text = rounds[f"{mode} {TEXT}"]
        name = f"{options.sessions} sessions, {title}"
        found.append(plain(f"{name}, text model", text, "steps/s"))
        found.append(against(name, rounds[f"{mode} {IMPORTED}"], text, "steps/s", "text model", least=LEAST))
    text = rounds[f"whole {CLASSES}"]
    name = f"sequences of {STEPS}, {options.connections} connections"
    found.append(plain(f"{name}, text model", text, "1/s"))
    found.append(against(name, rounds[f"whole {IMPORTED}"], text, "1/s", "text model", least=LEAST))
    return found


if __name__ == "__main__":
    main()
