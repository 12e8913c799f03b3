"""A network of somebody else's: the encoder-decoder of ``g2p-en``, served as it pronounces words itself.

Its weights are in the package, as numpy arrays, and so is the numpy code that runs them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.e2e.server import ServerProcess
from tests.recall.schema import RecallSpec
from training.cells import RecurrentStack
from training.encoder_decoder import TokenEncoder
from training.export import describe_run, export_bundle
from training.token_net import TokenNet

PACKAGE = importlib.util.find_spec("g2p_en")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="the package g2p-en is not installed")

WORDS = 1000
START, END, LONGEST = 2, 3, 20
"""Of phonemes, as in its ``predict``."""


class Anything(ModuleType):
    """Stands in for what the package imports and its network does not need."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        return Anything(name)

    def __call__(self, *args: object) -> Any:
        return Anything("anything")


@pytest.fixture(scope="module")
def theirs() -> Iterator[Any]:
    """Their class with its weights, without the dictionaries that it would download."""
    known = ("nltk", "nltk.corpus", "nltk.tokenize", "inflect", "distance")
    before = {name: sys.modules.get(name) for name in known}
    sys.modules.update({name: Anything(name) for name in known})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their syntax, which is older than ours
            kind = importlib.import_module("g2p_en.g2p").G2p
        model = kind.__new__(kind)
        model.graphemes = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
        model.g2idx = {grapheme: index for index, grapheme in enumerate(model.graphemes)}
        model.idx2p = {index: index for index in range(74)}  # phonemes by their numbers
        model.load_variables()
        yield model
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def gru(theirs: Any, side: str) -> nn.GRU:
    """Their layer of that name, as PyTorch has it."""
    gates, features = getattr(theirs, f"{side}_w_ih").shape
    layer = nn.GRU(features, gates // 3, batch_first=True)
    with torch.no_grad():
        for name in ("w_ih", "w_hh", "b_ih", "b_hh"):
            wanted = name.replace("w_", "weight_").replace("b_", "bias_")
            layer.get_parameter(f"{wanted}_l0").copy_(torch.from_numpy(getattr(theirs, f"{side}_{name}")))
    return layer


def embedding(weights: np.ndarray) -> nn.Embedding:
    """Their features of tokens."""
    layer = nn.Embedding(*weights.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
    return layer


@pytest.fixture(scope="module")
def models(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their network as a bundle."""
    encoder = TokenEncoder(embedding(theirs.enc_emb), gru(theirs, "enc"), max_length=64)
    layer = gru(theirs, "dec")
    recurrent = RecurrentStack("gru", layer.input_size, layer.hidden_size)
    recurrent.layers = layer
    head = nn.Linear(layer.hidden_size, 74)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(theirs.fc_w))
        head.bias.copy_(torch.from_numpy(theirs.fc_b))
    net = TokenNet(embedding(theirs.dec_emb), recurrent, head)
    folder = tmp_path_factory.mktemp("g2p")
    random = np.random.default_rng(0)
    export_bundle(
        net,
        out=folder,
        name="recall",
        version="1",
        description="Graphemes to phonemes.",
        spec=RecallSpec(vocabulary=74, start_token=START, end_token=END),
        provenance=describe_run("tests", 0),
        golden_steps=random.integers(0, 74, (3, 12)),
        encoder=encoder,
        golden_inputs=[random.integers(3, 29, length) for length in (4, 9, 6)],
    )
    return folder


def words() -> list[str]:
    """Words that nobody has in a dictionary, of one to twenty letters."""
    random = np.random.default_rng(1)
    syllables = [
        c + v + e for c in "bdfgklmnprstvz" for v in ("a", "e", "i", "oo", "ea") for e in ("", "n", "st")
    ]
    found = ["".join(random.choice(syllables, size)) for size in random.integers(1, 6, WORDS)]
    found[:4] = ["a", "activationist", "x", "zzzzzzzzzzzzzzzzzzzz"]
    return found


def test_it_says_what_their_own_code_says(theirs: Any, models: Path) -> None:
    """For a thousand words, many at once."""
    asked = words()
    sources = [[theirs.g2idx[letter] for letter in word] + [theirs.g2idx["</s>"]] for word in asked]
    found: list[list[int]] = []
    with ServerProcess(models, tasks="recall") as server:
        server.wait_until_ready()
        with server.client() as client:
            for first in range(0, WORDS, 200):
                body = {"sources": sources[first : first + 200], "max_tokens": LONGEST}
                answer = client.post("/recall", json=body)
                assert answer.status_code == 200, answer.text
                found += answer.json()["tokens"]
    expected = [list(map(int, theirs.predict(word))) for word in asked]
    assert len({tuple(phonemes) for phonemes in expected}) > WORDS // 2, "their network says something"
    assert found == expected
