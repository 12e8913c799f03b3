"""Weights that follow a text."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.bundle.reader import read_bundle
from training.generate.corpus import stream_batches
from training.generate.dynamic import Follower, chosen
from training.generate.measure import total_nats
from training.generate.net import LanguageModel
from training.generate.recipe import GenerateRecipe
from training.run import run
from training.token_net import TokenNetConfig

TEXT = np.tile(np.array([1, 2, 3, 4, 5, 6, 7], np.int64), 60)
OTHER = np.tile(np.array([7, 3, 1, 6], np.int64), 60)


@pytest.fixture(scope="module")
def follower() -> Follower:
    """Two layers with noise, which know the one text a little."""
    torch.manual_seed(0)
    shape = TokenNetConfig(8, embedding=12, hidden=12, layers=2, tied=True)
    net = LanguageModel(replace(shape, dropout=0.5, recurrent_dropout=0.5)).eval()
    return Follower.of(net, stream_batches(TEXT, 4, 20))


def test_a_text_is_learned_while_it_is_read(follower: Follower) -> None:
    """Each token counts before it is learned; the trained weights stay what they were."""
    before = copy.deepcopy(follower.net.state_dict())
    static = total_nats(follower.net, [OTHER], 0, lines=False)
    assert follower.nats(OTHER, 0, rate=2e-2, decay=0) < 0.95 * static
    # The first 20 tokens come before anything was learned.
    assert follower.nats(OTHER[:20], 0, 2e-2, 0) == pytest.approx(
        total_nats(follower.net, [OTHER[:20]], 0, lines=False)
    )
    for name, value in follower.net.state_dict().items():
        assert torch.equal(value, before[name])


def test_weights_that_do_not_move_give_the_static_figure(follower: Follower) -> None:
    """Without a step, or brought all the way back after each."""
    static = total_nats(follower.net, [OTHER], 0, lines=False)
    assert follower.nats(OTHER, 0, rate=0, decay=0) == pytest.approx(static, rel=1e-5)
    assert follower.nats(OTHER, 0, rate=1e-2, decay=1e9) == pytest.approx(static, rel=1e-5)


def test_the_validation_part_chooses(follower: Follower) -> None:
    """What does best on it."""
    rate, decay = chosen(follower, OTHER, 0)
    assert follower.nats(OTHER, 0, rate, decay) <= follower.nats(OTHER, 0, 5e-5, 1e-2)


def test_the_card_has_both_figures(tmp_path: Path) -> None:
    """The dynamic one beside the static one, with how it was done."""
    song = tmp_path / "song.txt"
    song.write_text("the cat sat on the mat\n" * 60)
    options = {"epochs": 1, "hidden": 8, "embedding": 8, "length": 16, "threads": 1, "quiet": True}
    folder = run(GenerateRecipe, {"text": song, "out": tmp_path, "dynamic": True, **options})
    static, dynamic = read_bundle(folder).manifest.quality
    assert dynamic.metric == "nats per character, dynamic evaluation"
    assert dynamic.split.startswith("last 10 %, rate ")
    assert dynamic.baselines == {"weights that stay": static.value}
    assert "--dynamic" in read_bundle(folder).manifest.provenance.command
