"""From scores to a bundle: streams and back, ranges, baselines, MIDI files of one's own."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bundle.reader import read_bundle
from app.core.errors import DataError, ExportError
from app.registry.verification import verify
from app.tasks.compose.midi import Part, write_midi
from app.tasks.compose.music import NOTHING, REST, Layout, Note
from app.tasks.compose.spec import ComposeSpec
from tests.bundles import TINY_VOICES
from tests.rig import REGISTERED
from training.compose.baselines import baselines
from training.compose.batches import num_batches, training_batches
from training.compose.corpus import (
    Corpus,
    Piece,
    allowed,
    follows,
    frames,
    intervals,
    piece_of,
    ranges,
    shifts,
    streams,
)
from training.compose.harmony import harmonised, marks
from training.compose.measure import measure, nats
from training.compose.net import REFUSED, Composer, ComposerConfig
from training.compose.own import own_pieces
from training.compose.recipe import ComposeRecipe
from training.compose.settings import ComposeOptions
from training.recipe import UserModule
from training.run import run

SMALL: dict[str, Any] = {
    "hidden": 12,
    "features": 12,
    "head": 12,
    "epochs": 12,
    "piece": 16,
    "batch": 4,
    "window": 8,
    "lead": 2,
    "threads": 1,
    "quiet": True,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "recurrent_dropout": 0.0,
    "average_decay": 0.0,
    "warmup_steps": 5,
}
TRIADS = [(60, 64, 67), (65, 69, 72), (67, 71, 74)]


def triads(random: np.random.Generator, length: int) -> np.ndarray:
    """Chords of two voices that follow the first one, each held for two steps."""
    roots = [TRIADS[random.integers(3)] for _ in range(length)]
    return np.repeat(np.array([(top, low - 12) for low, _, top in roots]), 2, axis=0)


@pytest.fixture(scope="module")
def midi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty files of two tracks, one that is no MIDI file, and one of drums alone."""
    folder = tmp_path_factory.mktemp("midi")
    random = np.random.default_rng(0)
    for number in range(20):
        pitches = triads(random, 12)
        parts = [
            Part(name, [Note(int(pitch), step, 1) for step, pitch in enumerate(pitches[:, column])])
            for column, name in enumerate(("top", "low"))
        ]
        (folder / f"{number}.mid").write_bytes(write_midi(parts, 4, 100))
    (folder / "broken.mid").write_bytes(b"MThd\x00\x00\x00\x06\x00\x01\x00\x03\x01\xe0MTrk\xff\xff")
    (folder / "notes.txt").write_text("not read")
    return folder


layouts = st.builds(
    Layout,
    voices=st.integers(1, 5),
    lead=st.integers(0, 5),
    low=st.just(40),
    high=st.integers(40, 70),
    restrikes=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(layout=layouts, steps=st.integers(1, 12), data=st.data())
def test_a_stream_holds_a_piece_and_nothing_else(layout: Layout, steps: int, data: st.DataObject) -> None:
    """Decoded it is the same; what lies outside is nothing, and does not count."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    pitches = random.integers(layout.low - 1, layout.high + 1, (steps, layout.voices))
    pitches[pitches < layout.low] = REST
    struck = random.random(pitches.shape) < 0.5
    stream = layout.encode(pitches, struck)
    scored = layout.scored(steps)
    assert len(stream) == (steps + layout.lead) * layout.voices
    assert ((stream == NOTHING) == ~scored).all()
    assert stream.max() < layout.vocabulary
    found, begins = layout.decode(stream)
    np.testing.assert_array_equal(found, pitches)
    changed = np.ones_like(struck)
    changed[1:] = pitches[1:] != pitches[:-1]
    np.testing.assert_array_equal(begins, (pitches >= 0) & (changed | (struck & layout.restrikes)))


def net_of(lead: int = 2, window: int = 12) -> Composer:
    """Random, of the tiny voices in bars of six steps."""
    torch.manual_seed(0)
    spec = ComposeSpec(voices=TINY_VOICES, lead=lead, steps_per_beat=2, beats_per_bar=3)
    config = ComposerConfig(spec.layout.vocabulary, 3, lead, 6, window=window, hidden=8, features=8, head=8)
    net = Composer(config, allowed(spec), intervals(spec.layout))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net.eval()


@torch.no_grad()
def test_the_clock_goes_round_and_allows_each_voice_its_range() -> None:
    """Behind any tokens, step by step; before the others begin they have nothing."""
    net = net_of()
    state = net.start_row()[None]
    layout = ComposeSpec(voices=TINY_VOICES, lead=2).layout
    random = np.random.default_rng(1)
    for place in range(6 * 6 * 3):
        token = torch.from_numpy(random.integers(0, layout.vocabulary, (1, 1)))
        outputs, state = net(token, state)
        may = torch.nonzero(outputs["logits"][0, 0] > REFUSED)[:, 0].tolist()
        voice = TINY_VOICES[place % 3]
        notes = [1, *range(layout.token(voice.low), layout.token(voice.high) + 1)]
        assert may == ([NOTHING] if place < 6 and place % 3 else notes), place
        assert 0 <= float(state[0, 0]) < 6 + 18


def test_a_transposition_stays_in_the_ranges() -> None:
    """And leaves rests alone."""
    piece = piece_of(np.array([[62, 50, REST], [65, 52, 60]]))
    low, high = shifts(piece, TINY_VOICES, 12)
    assert (low, high) == (-2, 5)
    moved = piece.moved(high)
    assert moved.pitches.tolist() == [[67, 55, REST], [70, 57, 65]]
    assert shifts(piece_of(np.array([[80, 50, 60]])), TINY_VOICES, 12)[1] == 0


def test_every_token_is_learned_once_in_an_epoch() -> None:
    """In windows that follow each other, whatever the lengths."""
    random = np.random.default_rng(3)
    layout = Layout(3, 2, 48, 70)
    pieces = [piece_of(random.integers(48, 70, (length, 3))) for length in (5, 40, 7, 23, 11)]
    found = streams(pieces, layout)
    batches = list(training_batches(found, 2, 9, random))
    assert len(batches) == pytest.approx(num_batches([len(tokens) for tokens, _ in found], 2, 9), abs=4)
    assert sum(int(batch.counts.sum()) for batch in batches) == sum(3 * len(p.pitches) for p in pieces)
    assert batches[0].fresh
    for before, after in itertools.pairwise(batches):
        if not after.fresh:
            assert torch.equal(before.targets[:, -1], after.tokens[:, 0])


def test_nats_are_those_of_the_chain_rule() -> None:
    """Of each piece alone, in one go; padding and company change nothing."""
    net = net_of()
    spec = ComposeSpec(voices=TINY_VOICES, lead=2, steps_per_beat=2, beats_per_bar=3)
    random = np.random.default_rng(4)
    pieces = [piece_of(random.integers([60, 48, 55], [70, 60, 65], (length, 3))) for length in (3, 400, 90)]
    found = nats(net, streams(pieces, spec.layout), 3)
    total = np.zeros(3)
    for tokens, scored in streams(pieces, spec.layout):
        steps = torch.from_numpy(np.concatenate([[NOTHING], tokens[:-1]]))[None]
        with torch.no_grad():
            outputs, _ = net(steps, net.start_row()[None])
        logs = torch.log_softmax(outputs["logits"][0].double(), dim=-1).numpy()
        lost = -logs[np.arange(len(tokens)), tokens] * scored
        total += lost.reshape(-1, 3).sum(axis=0)
    np.testing.assert_allclose(found.by_voice, total, rtol=1e-4)
    assert found.tokens == 493
    assert found.step == pytest.approx(3 * found.each)


def test_harmonised_melodies_are_kept_and_in_range() -> None:
    """Every voice but the first is drawn."""
    spec = ComposeSpec(voices=TINY_VOICES, lead=2, steps_per_beat=2, beats_per_bar=3)
    pieces = [piece_of(np.array([[62, 50, 57]] * 9)), piece_of(np.array([[70, 50, 57], [60, 50, 57]]))]
    for piece, found in zip(pieces, harmonised(net_of(), pieces, spec, 3), strict=True):
        assert found.shape == piece.pitches.shape
        np.testing.assert_array_equal(found[:, 0], piece.pitches[:, 0])
        for column, voice in enumerate(TINY_VOICES):
            notes = found[found[:, column] >= 0, column]
            assert ((notes >= voice.low) & (notes <= voice.high)).all()


def test_parallels_and_ranges_are_marked() -> None:
    """Fifths that move along, not those that stay or that are left by one voice."""
    names = ("soprano", "bass")
    parallel = np.array([[67, 60], [69, 62], [69, 62], [67, 60], [67, 48], [79, 60]])
    found = marks([parallel], names)
    assert (found.fifths, found.octaves, found.out_of_range) == (60.0, 0.0, 0.0)
    assert marks([np.array([[60, 48], [62, 50]])], names).octaves == 50.0
    assert marks([np.array([[60, 63], [90, 63]])], names).out_of_range == 100.0


def test_sets_of_notes_become_voices_from_the_top() -> None:
    """And back, which makes the figures comparable."""
    corpus = frames("x", [[[[60, 64, 67], [], [62]]], [[[60]]], [[[60]]]], 1, ())
    assert corpus.train[0].pitches.tolist() == [[67, 64, 60], [REST] * 3, [62, REST, REST]]
    assert not corpus.named


def test_counts_are_a_probability() -> None:
    """Over all that a note may be they sum to one, so that their nats can be compared."""
    from training.compose.baselines import _Counts, _of_voices

    counts = _Counts(_of_voices(2), 6)
    counts.add([1, 2, 1, 3, 1, 2])
    padded = [-9] * 16 + [1, 2, 1]
    total = sum(counts._probability([*padded, note], len(padded)) for note in range(6))
    assert total == pytest.approx(1.0)


def test_ones_own_midi_files_become_a_bundle(midi: Path, tmp_path: Path, capsys: Any) -> None:
    """Parts, what was left out, a network that beats counts of notes, a bundle that is served."""
    given = {**SMALL, "midi": midi, "grid": 16, "voices": 2, "out": tmp_path, "name": "mine"}
    path = run(ComposeRecipe, given)
    assert "left out 'broken.mid': " in capsys.readouterr().err
    bundle = read_bundle(path)
    checks = list(verify(path, REGISTERED))
    assert [check.verdict for check in checks] == ["ok"] * len(checks), checks
    spec = bundle.manifest.spec_as(ComposeSpec)
    assert [(voice.low, voice.high) for voice in spec.voices] == [(67, 74), (48, 55)]
    assert (spec.steps_per_beat, spec.lead, spec.restrikes) == (4, 2, True)
    quality = {(one.metric, one.split): one for one in bundle.manifest.quality}
    figure = quality["nats a voice token", "test"]
    assert figure.value < min(figure.baselines.values())
    command = bundle.manifest.provenance.command
    assert command.startswith(f"rnnserve-train compose --midi {midi.name} --grid 16 --voices 2 --name mine")


def test_melodies_have_one_voice_and_no_lead(midi: Path, tmp_path: Path) -> None:
    """The top line; a note that is struck again has a token of its own."""
    given = {**SMALL, "epochs": 1, "midi": midi, "voices": 1, "out": tmp_path}
    spec = read_bundle(run(ComposeRecipe, given)).manifest.spec_as(ComposeSpec)
    assert ([voice.name for voice in spec.voices], spec.lead) == (["melody"], 0)


@torch.no_grad()
def test_only_the_pitch_that_sounds_is_struck_anew() -> None:
    """So a piece has one stream, and its nats are its own."""
    spec = ComposeSpec(voices=TINY_VOICES[:2], steps_per_beat=2, beats_per_bar=3, restrikes=True)
    layout = spec.layout
    config = ComposerConfig(layout.vocabulary, 2, 0, 6, window=4, hidden=8)
    net = Composer(config, allowed(spec), intervals(layout), follows(layout)).eval()
    sounding, low = layout.token(62), layout.token(50)
    tokens = torch.tensor([[NOTHING, sounding, low, layout.again(sounding), layout.token(REST)]])
    outputs, _ = net(tokens, net.start_row()[None])
    anew = [layout.again(layout.token(pitch)) for pitch in range(48, 71)]
    found = [[token for token in anew if logits[token] > REFUSED] for logits in outputs["logits"][0]]
    assert found == [[], [], [layout.again(sounding)], [layout.again(low)], [layout.again(sounding)]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"midi": Path("nowhere")}, "no folder"),
        ({"midi": Path("nowhere"), "grid": 18}, "no folder"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], message: str) -> None:
    """In one line."""
    with pytest.raises(DataError, match=message):
        own_pieces(ComposeOptions(**options), 0)


def test_a_folder_with_too_few_files_is_refused(tmp_path: Path) -> None:
    """With how many there are, and a grid that has no whole steps."""
    with pytest.raises(DataError, match="0 MIDI files"):
        own_pieces(ComposeOptions(midi=tmp_path), 0)
    with pytest.raises(DataError, match="four times"):
        own_pieces(ComposeOptions(midi=tmp_path, grid=18), 0)


def test_a_module_of_ones_own_is_refused() -> None:
    """It has no clock."""
    with pytest.raises(ExportError, match="clock"):
        ComposeRecipe.module_spec(UserModule(None, 4, 4))


def test_figures_of_sets_are_told_for_a_step_and_beside_counts() -> None:
    """Of both parts that are not trained on."""
    random = np.random.default_rng(5)
    pairs = [[60 + int(low), 70 + int(low)] for low in random.integers(0, 9, 240)]
    parts = [[pairs[first : first + 20] for first in range(part, part + 80, 20)] for part in (0, 80, 160)]
    corpus = frames("x", parts, 1, ())
    spec = corpus.spec(0)
    config = ComposerConfig(spec.layout.vocabulary, 2, 0, 4, window=4, hidden=8)
    found = measure(Composer(config, allowed(spec), intervals(spec.layout)).eval(), corpus, spec, beside=True)
    assert {one.metric for one in found} == {"nats a step"}
    assert [one.split for one in found] == ["validation", "test"]
    assert all(one.baselines["6-gram over notes"] > 0 for one in found)


def test_long_pieces_are_counted_as_they_stand() -> None:
    """Without transpositions, and not without themselves."""
    notes = [[60 + step % 3] for step in range(1200)]
    corpus = frames("x", [[notes], [notes[:90]], [notes[:90]]], 1, ())
    assert baselines(corpus)["6-gram over notes"]["test"] < 0.5


def test_named_parts_have_their_ranges() -> None:
    """Of what they sing; a part that is silent has a piano's."""
    pieces = [Piece(np.array([[60, REST], [64, REST]]), np.ones((2, 2), np.bool_))]
    voices = ranges(("a", "b"), pieces)
    assert [(voice.low, voice.high) for voice in voices] == [(60, 64), (21, 108)]
    corpus = Corpus("x", voices, 4, 4, True, False, pieces, pieces, pieces, ())
    assert list(baselines(corpus)) == ["counts of what the voices had"]
