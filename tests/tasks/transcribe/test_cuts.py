"""Any cut of a sound is heard alike, over sessions and requests."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.runtime.session import GraphSession
from app.tasks.session import AppliedInputs
from app.tasks.transcribe.audio import FACTORS, NONE, Thinner
from app.tasks.transcribe.model import TranscribeModel
from app.tasks.transcribe.schema import Sound
from tests.tasks.transcribe.sounds import RATE, sound, text_of

CUTS = (1, 7, 319, 320, 321, 8000)

Heard = tuple[list[dict[str, Any]], np.ndarray]


def fed(
    found: tuple[TranscribeModel, GraphSession, np.ndarray], pieces: list[np.ndarray], rate: int
) -> Heard:
    """Segments, and the row, of a sound fed in pieces to a session."""
    model, graph, row = found
    context, segments = model.session.open({"rate": rate}), []
    memory: dict[str, Any] = {}
    for index, piece in enumerate(pieces):
        inputs = {"pcm16": text_of(piece.tobytes()), "finish": index == len(pieces) - 1}
        encoded = model.session.encode(context, index, inputs)
        outputs = np.zeros(0, np.float32)
        if len(encoded.steps):
            (values,), rows = graph.run(encoded.steps[None], row[None], 0)
            outputs, row = values[0], rows[0]
        ((said,),) = model.session.describe([AppliedInputs(encoded, None, outputs, memory)])
        # What is stored is JSON.
        context, memory = json.loads(json.dumps(encoded.context)), json.loads(json.dumps(memory))
        segments += [
            {key: value for key, value in one.items() if key != "segment"} for one in said["segments"]
        ]
    return segments, row


def whole(found: tuple[TranscribeModel, GraphSession, np.ndarray], samples: np.ndarray, rate: int) -> Heard:
    """The same of a request."""
    model, graph, row = found
    prepared = model.prepare(Sound(data=samples.tobytes(), rate=rate))
    (values,), rows = graph.run(prepared.blocks[0].steps.astype(np.float32), row[None], 0)
    answer = model.finish(prepared, [values[0]])
    return [segment.model_dump() for segment in answer.segments], rows[0]


@pytest.mark.parametrize("cut", CUTS)
def test_any_cut_of_a_sound_is_heard_alike(
    model: tuple[TranscribeModel, GraphSession, np.ndarray], cut: int
) -> None:
    """Words, times, confidences and the row, to the bit; as one request too."""
    samples = sound(1.5)
    pieces = [samples[first : first + cut] for first in range(0, len(samples), cut)]
    segments, row = fed(model, pieces, RATE)
    expected, last = whole(model, samples, RATE)
    assert segments == expected
    assert len(segments) >= 1
    np.testing.assert_array_equal(row, last)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 30_000), max_size=8), factor=st.sampled_from(FACTORS), seed=st.integers(0, 9)
)
def test_cuts_at_random_places_and_other_rates_are_heard_alike(
    model: tuple[TranscribeModel, GraphSession, np.ndarray], cuts: list[int], factor: int, seed: int
) -> None:
    """Empty pieces among them."""
    rate = RATE * factor
    samples = sound(0.7, seed, rate)
    places = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    pieces = [samples[first:last] for first, last in pairwise(places)]
    segments, row = fed(model, pieces, rate)
    expected, last = whole(model, samples, rate)
    assert segments == expected
    np.testing.assert_array_equal(row, last)


def test_a_thinned_sound_keeps_low_tones_and_loses_high_ones() -> None:
    """At six times the rate: 500 Hz stays, 9 kHz goes."""
    time = np.arange(48_000) / 48_000
    for hertz, least, most in ((500, 0.97, 1.03), (3000, 0.7, 1.03), (9000, 0.0, 0.01), (20_000, 0.0, 0.01)):
        tone = (10_000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        kept, _ = Thinner(6).run(NONE, tone, 0)
        assert len(kept) == 8000
        share = np.sqrt(np.mean(kept[500:].astype(float) ** 2)) / (10_000 / np.sqrt(2))
        assert least <= share <= most, hertz
