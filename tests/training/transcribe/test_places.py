"""Where words are said is found by their level; what stands alone is cut."""

from __future__ import annotations

import numpy as np
import pytest

from training.transcribe.clips import Clip
from training.transcribe.net import Hearer, HearerConfig
from training.transcribe.places import places
from training.transcribe.spectra import Heard

BINS = 101


def powers(stretches: list[tuple[int, int]], frames: int, noise: float) -> np.ndarray:
    """Loud between these frames, over noise."""
    random = np.random.default_rng(0)
    found = noise * random.exponential(size=(frames, BINS))
    for first, last in stretches:
        found[first:last] += random.exponential(size=(last - first, BINS))
    return found.astype(np.float32)


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_each_label_is_in_its_stretch(noise: float) -> None:
    """A click is none, and a short pause within a word cuts nothing."""
    said = [(40, 70), (100, 130), (134, 160), (200, 240)]
    found = places(powers([*said, (20, 21)], 300, noise), (3, 1, 2))
    assert [labels for _, _, labels in found] == [(3,), (1,), (2,)]
    expected = [(40, 70), (100, 160), (200, 240)]
    assert np.abs(np.array([place[:2] for place in found]) - expected).max() <= 4


def test_labels_that_cannot_be_told_apart_share_what_is_loud() -> None:
    ((first, last, labels),) = places(powers([(50, 90), (120, 200)], 300, 1e-3), (1, 2, 3, 1))
    assert labels == (1, 2, 3, 1)
    assert abs(first - 50) <= 4
    assert abs(last - 200) <= 4


def test_silence_has_a_place_as_well() -> None:
    assert places(np.zeros((30, BINS), np.float32), (1,))[0][2] == (1,)


def test_a_sound_is_cut_in_its_pauses_and_nothing_is_lost() -> None:
    net = Hearer(HearerConfig(3))
    random = np.random.default_rng(0)
    word, pause = random.normal(0, 3000, 3200), random.normal(0, 3, 4000)
    samples = np.concatenate([pause, word, pause, word, pause]).astype(np.int16)
    whole = places(
        np.concatenate([each.powers for each in Heard.of(net, Clip(samples, "", "s", (1,)))]), (1, 2)
    )
    cut = Heard.of(net, Clip(samples, "", "s", (1, 2)))
    assert [each.spans[0][2] for each in cut] == [(1,), (2,)]
    at = 0
    for each, (first, last, _) in zip(cut, whole, strict=True):
        assert each.spans[0][:2] == (first - at, last - at)
        assert 0 <= first - at < last - at <= len(each.powers)
        at += len(each.powers)
    assert at == (len(samples) + net.frame - 1) // net.hop
