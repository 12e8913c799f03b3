"""Music: lengths are exact, what is given comes back, scores add up, MIDI and sound hold the same notes."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bundle.reader import read_bundle
from app.core.errors import InvalidInput
from app.tasks.compose.bodies import RATE, midi_of, wav_of
from app.tasks.compose.midi import Part, read_midi, write_midi
from app.tasks.compose.model import ComposeModel
from app.tasks.compose.music import Note
from app.tasks.compose.schema import ComposeAnswer, ComposeLimits, ComposeRequest, ScoreRequest
from tests.bundles import TINY_VOICES, tiny_composer
from tests.rig import BY_NAME, Rig, inference

TASK = BY_NAME["compose"]
(SCORE,) = TASK.operations
NAMES = [voice.name for voice in TINY_VOICES]
MELODY: list[dict[str, Any]] = [
    {"pitch": 62, "duration": 2},
    {"pitch": 62, "duration": 1},
    {"pitch": None, "duration": 1},
    {"pitch": 65, "duration": 3},
]
PLACED = [(62, 0, 2), (62, 2, 1), (65, 4, 3)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three voices, the first ahead of the others; and melodies whose notes are struck anew."""
    folder = tmp_path_factory.mktemp("models")
    tiny_composer(folder)
    tiny_composer(folder, "gru", "tiny-tune", voices=TINY_VOICES[:1], lead=0, restrikes=True)
    return folder


@pytest.fixture(scope="module")
def model(models: Path) -> ComposeModel:
    """With small limits."""
    limits = ComposeLimits(max_music_steps=40, max_pieces=3, max_midi_bytes=2000)
    return ComposeModel(read_bundle(models / "tiny-music" / "1"), limits)


async def answered(rig: Rig, body: dict[str, Any]) -> ComposeAnswer:
    """Of the tiny model, unless another is named."""
    request = ComposeRequest.model_validate({"model": "tiny-music", **body})
    answer, _ = await rig.service.answer(TASK, request)
    assert isinstance(answer, ComposeAnswer)
    return answer


async def scored(rig: Rig, body: dict[str, Any]) -> Any:
    """Likewise."""
    request = ScoreRequest.model_validate({"model": "tiny-music", **body})
    answer, _ = await rig.service.answer(TASK, request, SCORE.of)
    return answer


def notes(answer: ComposeAnswer, voice: str, piece: int = 0) -> list[tuple[int, int, int]]:
    """Of one voice."""
    return [(note.pitch, note.start, note.duration) for note in answer.pieces[piece].notes[voice]]


def as_notes(answer: ComposeAnswer) -> dict[str, Any]:
    """A piece as a request has it."""
    return {name: [dict(note) for note in line] for name, line in answer.pieces[0].notes.items()}


def pitch_of(voice: int) -> st.SearchStrategy[int | None]:
    """A note that a voice may have, or a rest."""
    return st.none() | st.integers(TINY_VOICES[voice].low, TINY_VOICES[voice].high)


def lines(voice: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Notes with what is left open between some of them."""

    @st.composite
    def line(draw: st.DrawFn) -> list[dict[str, Any]]:
        found, end = [], 0
        for _ in range(draw(st.integers(0, 5))):
            start = end + draw(st.sampled_from([0, 0, 1, 3]))
            duration = draw(st.integers(1, 3))
            found.append({"pitch": draw(pitch_of(voice)), "start": start, "duration": duration})
            end = start + duration
        return found

    return line()


@settings(max_examples=12, deadline=None)
@given(
    given_lines=st.fixed_dictionaries({name: lines(voice) for voice, name in enumerate(NAMES)}),
    more=st.integers(1, 9),
    seed=st.integers(0, 2**63 - 1),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)
def test_lengths_are_exact_and_given_notes_come_back(
    models: Path, given_lines: dict[str, Any], more: int, seed: int, temperature: float
) -> None:
    """Each with its beginning and end, whatever is drawn around; and the score of the piece is its own."""
    ends = [line[-1]["start"] + line[-1]["duration"] for line in given_lines.values() if line]
    longest = max(ends, default=0)
    steps = longest + more
    body = {"steps": steps, "given": given_lines, "seed": seed, "temperature": temperature}

    async def check() -> None:
        async with inference(models) as rig:
            answer = await answered(rig, body)
            (piece,) = answer.pieces
            assert (len(piece.steps), piece.finish_reason, answer.voices) == (steps, "length", NAMES)
            for voice, name in enumerate(NAMES):
                line, found = given_lines[name], notes(answer, name)
                for note in line:
                    if note["pitch"] is not None:
                        assert (note["pitch"], note["start"], note["duration"]) in found
                    for step in range(note["start"], note["start"] + note["duration"]):
                        assert piece.steps[step][voice] == note["pitch"]
                limits = TINY_VOICES[voice]
                assert all(limits.low <= pitch <= limits.high for pitch, _, _ in found)
                sounding = [step for _, start, length in found for step in range(start, start + length)]
                assert len(sounding) == len(set(sounding))
                assert sorted(sounding) == [
                    step for step, chord in enumerate(piece.steps) if chord[voice] is not None
                ]
            score = await scored(rig, {"steps": piece.steps})
            assert score.nats == pytest.approx(piece.nats, abs=1e-4)
            assert sum(score.steps) == pytest.approx(score.nats, abs=1e-3)
            assert sum(score.voices.values()) == pytest.approx(score.nats, abs=1e-3)
            assert score.nats_per_step == pytest.approx(score.nats / steps, abs=1e-4)
            if any(pitch is not None for pitch in piece.steps[-1]):
                # Notes do not tell of silence at the end.
                assert (await scored(rig, {"notes": as_notes(answer)})).nats == score.nats

    asyncio.run(check())


def test_a_seed_gives_the_same_pieces_under_load(models: Path) -> None:
    """Alone, as one of several, and among others that come and go."""

    async def check() -> None:
        async with inference(models) as rig:
            body = {"melody": MELODY, "steps": 30, "seed": 11}
            alone = await answered(rig, body)
            second = await answered(rig, {**body, "seed": 12})
            several = await answered(rig, {**body, "n": 2})
            assert several.pieces == [*alone.pieces, *second.pieces]
            crowd = [answered(rig, {"steps": 5 + number, "seed": number}) for number in range(20)]
            again, *_ = await asyncio.gather(answered(rig, body), *crowd)
            assert again == alone
            assert rig.idle

    asyncio.run(check())


def test_another_note_of_one_voice_leaves_what_was_drawn_before_it(models: Path) -> None:
    """Giving a voice what it would have had anyway changes nothing at all."""

    async def check() -> None:
        async with inference(models) as rig:
            base = {"steps": 12, "seed": 5, "temperature": 2.0}
            free = await answered(rig, base)
            kept = [{"pitch": chord[1], "start": step} for step, chord in enumerate(free.pieces[0].steps)]
            same = await answered(rig, {**base, "given": {"bass": kept}})
            assert same.pieces[0].steps == free.pieces[0].steps
            other = await answered(rig, {**base, "given": {"bass": [*kept[:9], {"pitch": None, "start": 9}]}})
            assert other.pieces[0].steps[:9] == free.pieces[0].steps[:9]

    asyncio.run(check())


def test_a_note_that_is_struck_again_is_told_where_the_model_knows_it(models: Path) -> None:
    """The likelihood tells the two apart."""
    again = [{"pitch": 62, "duration": 2}, {"pitch": 62, "duration": 2}]
    held = [{"pitch": 62, "duration": 4}]

    async def check() -> None:
        async with inference(models) as rig:
            model = {"model": "tiny-tune"}
            scores = [await scored(rig, {**model, "notes": {"soprano": line}}) for line in (again, held)]
            assert scores[0].nats != scores[1].nats
            assert scores[0].steps[:2] == scores[1].steps[:2]
            answer = await answered(rig, {**model, "steps": 500, "seed": 2, "temperature": 2.0})
            assert any(
                first[0] == second[0] and first[1] + first[2] == second[1]
                for first, second in itertools.pairwise(notes(answer, "soprano"))
            )
            whole = await scored(rig, {**model, "notes": as_notes(answer)})
            assert whole.nats == pytest.approx(answer.pieces[0].nats, rel=1e-5)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "bars"),
        ({"bars": 7}, "bars"),
        ({"steps": 41}, "steps"),
        ({"steps": 2, "n": 4}, "n"),
        ({"steps": 4, "melody": MELODY}, "melody"),
        ({"melody": [{"pitch": 71}]}, "melody.0.pitch"),
        ({"melody": [{"pitch": 62, "duration": 99}]}, "melody.0.duration"),
        ({"melody": [{"pitch": 62, "start": 2}, {"pitch": 62, "start": 1}]}, "melody.1.start"),
        ({"melody": [], "steps": 3, "given": {"soprano": []}}, "given.soprano"),
        ({"steps": 3, "given": {"basso": []}}, "given.basso"),
        ({"midi": "not base64"}, "midi"),
        ({"midi": "TVRoZA=="}, "midi"),
        ({"midi": base64.b64encode(bytes(3000)).decode()}, "midi"),
    ],
)
def test_what_cannot_be_used_is_named(model: ComposeModel, body: dict[str, Any], field: str) -> None:
    """By its field."""
    with pytest.raises(InvalidInput) as raised:
        model.start(ComposeRequest.model_validate(body))
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": [[62, 50]]}, "steps.0"),
        ({"steps": [[62, 50, 57], [62, 50, 99]]}, "steps.1.2"),
        ({"notes": {}}, "notes"),
        ({"notes": {"alto": [{"pitch": 54}]}}, "notes.alto.0.pitch"),
        ({"steps": [[62, 50, 57]] * 41}, "steps"),
    ],
)
def test_a_piece_that_cannot_be_scored_is_refused(
    model: ComposeModel, body: dict[str, Any], field: str
) -> None:
    """Likewise."""
    with pytest.raises(InvalidInput) as raised:
        model.scorer.prepare(ScoreRequest.model_validate(body))
    assert raised.value.field == field


def test_sound_has_the_length_of_the_piece_and_its_pitches(models: Path) -> None:
    """The melody alone: the strongest frequency of its last note is that of its pitch."""

    async def check() -> None:
        async with inference(models) as rig:
            body = {"model": "tiny-tune", "melody": [{"pitch": 69, "duration": 8}], "tempo": 60}
            answer = await answered(rig, body)
            with wave.open(io.BytesIO(wav_of(answer))) as file:
                assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            assert len(samples) / RATE == pytest.approx(4.0, abs=0.2)
            spectrum = np.abs(np.fft.rfft(samples[:RATE]))
            assert spectrum.argmax() == pytest.approx(440, abs=2)
            held = await answered(rig, {**body, "melody": [{"pitch": 69, "duration": 80}]})
            fading = np.frombuffer(wav_of(held)[44:], "<i2")
            assert len(fading) / RATE == pytest.approx(40, abs=0.2)
            assert not fading[20 * RATE :].any()
            silent = await answered(rig, {"model": "tiny-tune", "melody": [{"pitch": None, "duration": 3}]})
            assert not np.frombuffer(wav_of(silent)[44:], "<i2").any()
            long = await answered(rig, {"model": "tiny-tune", "steps": 500, "tempo": 20})
            with pytest.raises(InvalidInput, match="600 s"):
                wav_of(long)

    asyncio.run(check())


def test_tracks_of_the_same_name_are_one_voice(model: ComposeModel) -> None:
    """In base64 with broken lines, as programs write it."""
    parts = [
        Part("Soprano", [Note(62, 0, 2)]),
        Part("other", [Note(70, 0, 6)]),
        Part("soprano ", [Note(65, 4, 1)]),
    ]
    midi = base64.encodebytes(write_midi(parts, 2, 80)).decode()
    assert "\n" in midi.strip()
    start = model.start(ComposeRequest(midi=midi))
    feedback = start.sequences[0].feedback
    assert feedback is not None
    assert feedback.forced is not None
    rest, low = 1, 2 - 48
    assert feedback.forced.reshape(-1, 3)[:6, 0].tolist() == [62 + low, 62 + low, rest, rest, 65 + low, rest]


def test_pieces_of_an_answer_follow_each_other_in_one_file(models: Path) -> None:
    """Four beats apart."""

    async def check() -> None:
        async with inference(models) as rig:
            body = {"model": "tiny-tune", "melody": [{"pitch": 62, "duration": 3}], "n": 3}
            (part,) = read_midi(midi_of(await answered(rig, body)), 2, 100, 10_000, "body")
            assert part.notes == [Note(62, 0, 3), Note(62, 11, 3), Note(62, 22, 3)]

    asyncio.run(check())
