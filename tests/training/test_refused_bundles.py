"""What cannot be true of a bundle: the export, `models verify` and the server refuse it in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.core.errors import BundleError, ExportError
from app.registered import TASKS
from app.registry.verification import verify
from app.tasks.generate.spec import GenerateSpec
from app.tasks.task import Tasks
from tests.bundles import tiny_classifier, tiny_forecaster, tiny_generator
from tests.registry.test_hostile_bundles import seal
from tests.registry.test_registry import opened
from training.export import describe_run, export_bundle
from training.forecast.net import Forecaster, ForecasterConfig
from training.generate.net import LanguageModel
from training.token_net import TokenNetConfig
from training.tokenizers import character_tokenizer
from training.user_module import export_module

TOKENIZER = character_tokenizer(["abcdef\n"])
VOCABULARY = 8


class Net(nn.Module):
    """The usual one."""

    def __init__(self, outputs: int = VOCABULARY) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCABULARY, 4)
        self.rnn = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of each step."""
        logits: Tensor = self.head(self.rnn(self.embed(tokens))[0])
        return logits


def changed(change: Callable[[Net], Any]) -> Net:
    """One to which something has happened."""
    net = Net()
    with torch.no_grad():
        change(net)
    return net


TEXT: dict[str, Any] = {"task": "generate"}
LABELS: dict[str, Any] = {"task": "sentiment", "module": Net(2), "labels": ("good", "bad")}
ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "start token too high": (TEXT | {"start_token": 8}, "start_token is 8, and the tokens are 0 to 7"),
    "start token below 0": (TEXT | {"start_token": -1}, "start_token"),
    "end token too high": (TEXT | {"end_token": 999}, "end_token is 999"),
    "labels of one name": (LABELS | {"labels": ("a", "a")}, "two labels are called 'a'"),
    "a blank label": (LABELS | {"labels": ("a", " ")}, "label 1 is blank"),
    "one label": (LABELS | {"module": Net(1), "labels": ("a",)}, "labels"),
    "labels of another number": (LABELS | {"labels": ("a", "b", "c")}, "2 outputs, but there are 3 labels"),
    "no labels": (LABELS | {"labels": ()}, "2 outputs, but there are 0 labels"),
    "labels of a text": (TEXT | {"labels": ("a", "b")}, "labels"),
    "a start of labels": (LABELS | {"start_token": 1}, "start_token"),
    "a task of numbers": (TEXT | {"task": "forecast"}, "reads numbers"),
    "no task": (TEXT | {"task": "nothing"}, "no task 'nothing'; known: "),
    "an empty name": (TEXT | {"name": ""}, "name '' cannot be used; allowed: lower-case"),
    "a name with a space": (TEXT | {"name": "My Model"}, "name 'My Model' cannot be used"),
    "a name with a folder": (TEXT | {"name": "../net"}, "cannot be used"),
    "a long name": (TEXT | {"name": "n" * 65}, "64 at most"),
    "an empty version": (TEXT | {"version": ""}, "version '' cannot be used; allowed: letters"),
    "a version with a slash": (TEXT | {"version": "1/2"}, "version '1/2' cannot be used"),
    "a long description": (TEXT | {"description": "x" * 501}, "description"),
    "float64": (TEXT | {"module": Net().double()}, "embed.weight is float64"),
    "bfloat16": (TEXT | {"module": Net().bfloat16()}, "embed.weight is bfloat16"),
    "float16": (TEXT | {"module": Net().half()}, "embed.weight is float16"),
    "one weight of float64": (
        TEXT | {"module": changed(lambda net: net.head.double())},
        "head.weight is float64, and bundles compute in float32; call float()",
    ),
    "NaN": (
        TEXT | {"module": changed(lambda net: net.rnn.get_parameter("bias_hh_l0").fill_(torch.nan))},
        "rnn.bias_hh_l0 holds NaN or infinity",
    ),
    "infinity in a row that is not looked up": (
        TEXT | {"module": changed(lambda net: net.embed.weight[7].fill_(torch.inf))},
        "embed.weight holds NaN or infinity",
    ),
    "a tokenizer of more tokens": (
        TEXT | {"tokenizer": character_tokenizer(["abcdefghij\n"])},
        "the tokenizer has 12 tokens, but the embedding only 8 rows",
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_export_that_cannot_be_true_is_refused(name: str, tmp_path: Path) -> None:
    """In a sentence of one line, and nothing is written."""
    given, says = ARGUMENTS[name]
    arguments: dict[str, Any] = {"module": Net(), "tokenizer": TOKENIZER, "name": "net"} | given
    with pytest.raises(ExportError) as error:
        export_module(arguments.pop("module"), out=tmp_path, **arguments)
    assert says in error.value.message
    assert "\n" not in error.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "files", [{}, {"tokenizer.json": character_tokenizer(["abc" * 9, "klmnopqrs"]).encode()}]
)
def test_a_text_without_its_tokenizer_is_not_exported(files: dict[str, bytes], tmp_path: Path) -> None:
    """Nor with one of more tokens."""
    spec = GenerateSpec(vocabulary=VOCABULARY, unit="character", start_token=1)
    with pytest.raises(ExportError, match=r"no server would take 'net': .*tokenizer"):
        export_bundle(
            LanguageModel(TokenNetConfig(VOCABULARY)),
            out=tmp_path,
            name="net",
            version="1",
            description="A net.",
            spec=spec,
            provenance=describe_run("tests", 0),
            files=files,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_numbers_is_no_text(tmp_path: Path) -> None:
    """Whatever its spec says."""
    with pytest.raises(ExportError, match="the task reads tokens, and the graph steps of"):
        export_bundle(
            Forecaster(ForecasterConfig(hidden=4, horizon=2, local=2)),
            out=tmp_path,
            name="net",
            version="1",
            description="A net.",
            spec=GenerateSpec(vocabulary=VOCABULARY, unit="character", start_token=1),
            provenance=describe_run("tests", 0),
            files={"tokenizer.json": TOKENIZER.encode()},
            golden_steps=_series(),
        )


def _series() -> Any:
    from tests.bundles import golden_series

    return golden_series()


SPEC_OF_TEXT = {"task": "generate", "vocabulary": 34, "unit": "character", "start_token": 1}
MANIFESTS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "start token": (tiny_generator, {"start_token": 999}, "start_token is 999"),
    "end token": (tiny_generator, {"end_token": 999}, "end_token is 999"),
    "vocabulary": (
        tiny_generator,
        {"vocabulary": 99},
        "the task takes logits [99], and the graph gives logits [",
    ),
    "labels of one name": (tiny_classifier, {"labels": ["a", "a"]}, "two labels are called 'a'"),
    "a blank label": (tiny_classifier, {"labels": ["a", ""]}, "label 1 is blank"),
    "labels of another number": (tiny_classifier, {"labels": ["a", "b", "c"]}, "logits [3]"),
    "a text of numbers": (tiny_forecaster, SPEC_OF_TEXT, "the task reads tokens, and the graph steps of"),
    "horizon": (tiny_forecaster, {"horizon": 5}, "quantiles [5, "),
    "quantiles": (tiny_forecaster, {"quantiles": [0.5]}, "quantiles [12, 1]"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_verify_and_server_refuse_a_manifest_in_the_same_words(name: str, tmp_path: Path) -> None:
    """One that somebody wrote by hand, or an earlier export."""
    make, spec, says = MANIFESTS[name]
    folder = make(tmp_path)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    kept = {} if "task" in spec else manifest["spec"]
    path.write_text(json.dumps(manifest | {"spec": kept | spec}))
    if "task" in spec:
        seal(folder, "tokenizer.json", TOKENIZER.encode())
    *_, last = verify(folder, Tasks(TASKS))
    assert last.verdict == "BAD"
    assert says in last.text
    with pytest.raises(BundleError) as error:
        opened(tmp_path)
    assert says in error.value.message
    shutil.rmtree(folder)
