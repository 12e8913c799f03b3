"""Characters of prompts read a second through ``POST /generate``, beside one run of the graph over each.

    python -m benchmarks.prompts [--lengths 200,2000,20000] [--rounds 9] [--models models]

The newest text model, asked for one token; no prompt is asked twice, since a server may remember. The graph
runs on one thread, from the same start row, and computes the last step's output alone; tokenizing is not
counted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import httpx2
import numpy as np

from app.bundle.reader import Bundle
from app.features.text import TextCodec
from app.runtime.session import GraphSession
from benchmarks.attending import bundle_of
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server

_LEAST = 0.6


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", default="200,2000,20000", help="characters, by commas")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args()
    lengths = [int(length) for length in options.lengths.split(",")]
    bundle = bundle_of(options.models, "generate")
    figures = [
        figure for length in lengths for figure in measure(options.models, bundle, length, options.rounds)
    ]
    publish("prompts", figures, {"rounds": options.rounds, "model": bundle.manifest.reference})


def measure(models: Path, bundle: Bundle, length: int, rounds: int) -> list[Figure]:
    """Both take turns, each with a prompt of its own."""
    assert bundle.tokenizer is not None
    codec, graph = TextCodec(bundle.tokenizer), GraphSession(bundle.graph, bundle.manifest)
    random = np.random.default_rng(length)
    served, bare = [], []
    with (
        Server(models, sessions="off", log_level="warning", load="on-demand") as server,
        httpx2.Client(base_url=server.url, timeout=300) as client,
    ):
        for number in range(1 + rounds):
            prompt = _prompt(codec, length, random)
            body = {"model": bundle.manifest.reference, "prompt": prompt, "max_tokens": 1, "seed": number}
            began = time.perf_counter()
            client.post("/generate", json=body).raise_for_status()
            answered = time.perf_counter()
            tokens = np.array([codec.encode(prompt)], np.int64)
            started = time.perf_counter()
            graph.run(tokens, bundle.start[None], tokens.shape[1] - 1)
            if number:  # the first one loads the model
                served.append(length / (answered - began))
                bare.append(length / (time.perf_counter() - started))
    name = f"prompts of {length:,} characters"
    return [
        against(f"{name}, read by the server", served, bare, "characters/s", "one raw run", least=_LEAST),
        plain(f"{name}, one raw run", bare, "characters/s"),
    ]


def _prompt(codec: TextCodec, length: int, random: np.random.Generator) -> str:
    """Of the model's own tokens, so that nothing is unknown to it."""
    text = ""
    while len(text) < length:
        text += codec.decode(random.integers(codec.size, size=length).tolist())
    return text[:length]


if __name__ == "__main__":
    main()
