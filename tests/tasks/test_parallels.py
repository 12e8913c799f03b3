"""Voices that are told to avoid parallel fifths and octaves make none, whatever is given."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tasks.compose.music import REST
from app.tasks.compose.schema import ComposeAnswer, ComposeRequest, ScoreRequest
from tests.bundles import TINY_VOICES, tiny_composer
from tests.rig import BY_NAME, Rig, inference
from training.compose.harmony import marks

TASK = BY_NAME["compose"]
(SCORE,) = TASK.operations
NAMES = [voice.name for voice in TINY_VOICES]
STEPS = 40


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three voices, the first ahead of the others or not, notes struck anew or not."""
    folder = tmp_path_factory.mktemp("models")
    tiny_composer(folder)
    tiny_composer(folder, "gru", "tiny-level", voices=TINY_VOICES, lead=0, restrikes=True)
    return folder


async def composed(rig: Rig, body: dict[str, Any]) -> ComposeAnswer:
    """Hot, so that anything may come."""
    request = ComposeRequest.model_validate({"steps": STEPS, "temperature": 2.0, **body})
    answer, _ = await rig.service.answer(TASK, request)
    assert isinstance(answer, ComposeAnswer)
    return answer


def parallels(answer: ComposeAnswer) -> float:
    """Of all its pieces, as the figures of a model count them."""
    pieces = [
        np.array([[REST if pitch is None else pitch for pitch in chord] for chord in piece.steps])
        for piece in answer.pieces
    ]
    found = marks(pieces, NAMES)
    return found.fifths + found.octaves


@settings(max_examples=12, deadline=None)
@given(
    voice=st.sampled_from([*range(len(NAMES)), None]),
    line=st.lists(st.integers(0, 10), min_size=1, max_size=STEPS),
    model=st.sampled_from(["tiny-music", "tiny-level"]),
    temperature=st.sampled_from([0.0, 1.0, 2.0]),
    seed=st.integers(0, 2**40),
)
def test_no_drawn_note_makes_a_parallel(
    models: Path, voice: int | None, line: list[int], model: str, temperature: float, seed: int
) -> None:
    """With any voice given, or none; the given one comes back, and the score is that of the piece."""
    lines = {}
    if voice is not None:
        lines[NAMES[voice]] = [{"pitch": TINY_VOICES[voice].low + step} for step in line]

    async def check() -> None:
        async with inference(models) as rig:
            body = {"model": model, "given": lines, "seed": seed, "temperature": temperature}
            answer = await composed(rig, {**body, "avoid_parallels": True})
            assert parallels(answer) == 0
            steps = answer.pieces[0].steps
            if voice is not None:
                kept = [note["pitch"] for note in lines[NAMES[voice]]]
                assert [chord[voice] for chord in steps[: len(line)]] == kept
            if model == "tiny-music":
                request = ScoreRequest.model_validate({"model": model, "steps": steps})
                score: Any = (await rig.service.answer(TASK, request, SCORE.of))[0]
                assert score.nats == pytest.approx(answer.pieces[0].nats, abs=1e-3)

    asyncio.run(check())


def test_only_who_asks_gets_other_notes_and_the_same_in_any_company(models: Path) -> None:
    """Alone and among others that come and go."""

    async def check() -> None:
        async with inference(models) as rig:
            body = {"model": "tiny-level", "seed": 1, "n": 3}
            free = await composed(rig, body)
            assert parallels(free) > 0
            avoiding = {**body, "avoid_parallels": True}
            alone = await composed(rig, avoiding)
            assert parallels(alone) == 0
            others = [composed(rig, {**body, "seed": 50 + number, "n": 1}) for number in range(9)]
            again, *_ = await asyncio.gather(composed(rig, avoiding), *others, composed(rig, avoiding))
            assert again == alone
            assert await composed(rig, body) == free

    asyncio.run(check())
