"""From sound files and what is said in them to a bundle that writes it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bundle.manifest import MANIFEST_FILE, Quality
from app.bundle.reader import read_bundle, read_manifest
from app.core.errors import DataError
from app.registry.verification import verify
from app.tasks.transcribe.ctc import BLANK
from app.tasks.transcribe.spec import TranscribeSpec
from tests.conftest import SHIPPED
from tests.public_data import data_folder
from tests.rig import REGISTERED
from training.run import run
from training.transcribe.batches import UNTOLD, batch_of, steps_of
from training.transcribe.data import load
from training.transcribe.figures import unseen
from training.transcribe.front import HOPS
from training.transcribe.losses import told_elsewhere
from training.transcribe.measure import edits, word_errors
from training.transcribe.net import Hearer, HearerConfig
from training.transcribe.recipe import TranscribeRecipe
from training.transcribe.settings import TranscribeOptions, TranscribeSettings
from training.transcribe.spectra import Heard, Spoken, training_strings
from training.transcribe.units import Unit, Units, cleaned

RATE = 8000
TONES = {"low": 300.0, "high": 1700.0}
SMALL: dict[str, Any] = {
    "hidden": 16,
    "layers": 1,
    "epochs": 12,
    "flat_epochs": 4,
    "sounds": 60,
    "batch": 4,
    "join": 2,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "noise": 0.0,
    "colour": 0.0,
    "tempo": 0.05,
    "warp": 0.0,
    "mask": 0,
    "warmup_steps": 5,
    "average_decay": 0.0,
    "threads": 1,
    "quiet": True,
}


def said(words: list[str]) -> np.ndarray:
    """A tone for each word, and silence between."""
    time = np.arange(round(0.24 * RATE)) / RATE
    parts = [np.concatenate([0.3 * np.sin(2 * np.pi * TONES[word] * time), np.zeros(800)]) for word in words]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty sounds of one word or two, by six speakers, in a folder beside the CSV."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "sounds").mkdir()
    random = np.random.default_rng(0)
    lines = ["path,transcript,speaker"]
    for index in range(30):
        words = random.choice([*TONES], random.integers(1, 3)).tolist()
        rate = RATE if index % 2 else 2 * RATE
        samples = said(words)
        samples = samples if index % 2 else np.repeat(samples, 2)
        soundfile.write(folder / f"sounds/{index}.wav", samples, rate)
        lines.append(f"sounds/{index}.wav,  {' '.join(words)} ,s{index % 6}")
    path = folder / "clips.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("unit", ["word", "character"])
def test_sounds_become_a_bundle_that_writes_them_down(clips: Path, tmp_path: Path, unit: str) -> None:
    """Of speakers never heard; every check of a bundle holds, equal bits among them."""
    given = {"csv": clips, "group": "speaker", "unit": unit, "out": tmp_path, **SMALL}
    folder = run(TranscribeRecipe, given)
    checks = list(verify(folder, REGISTERED))
    assert [check.verdict for check in checks] == ["ok"] * len(checks), checks
    manifest = read_bundle(folder).manifest
    spec = manifest.spec_as(TranscribeSpec)
    assert (spec.unit, spec.sample_rate, spec.step_samples) == (unit, RATE, 320)
    if unit == "word":
        assert spec.units == ("high", "low")
        (quality,) = manifest.quality
        assert (quality.metric, quality.split) == ("WER", "speakers whom training has not heard")
        assert quality.value < 0.35
    assert f"--unit {unit} " in manifest.provenance.command


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": "file"}, "clips.csv.*--audio.*no column"),
        ({"text": "said"}, "clips.csv.*--text.*no column"),
        ({"hold_out": "s9"}, "s9.*no speaker of these; allowed: s0"),
        ({"csv": Path("absent.csv")}, "cannot read 'absent.csv'"),
    ],
)
def test_what_cannot_be_used_is_named(clips: Path, change: dict[str, Any], message: str) -> None:
    options = TranscribeOptions(**{"csv": clips, "group": "speaker", **change})
    with pytest.raises(DataError, match=message):
        load(options, None, 0)


def test_a_sound_that_cannot_be_read_is_told_by_its_line(clips: Path) -> None:
    """A missing one, and one that is none."""
    table = clips.with_name("bad.csv")
    for name, message in (("none.wav", "line 2: cannot read 'none.wav'"), ("clips.csv", "line 2: .*sound")):
        table.write_text(f"path,transcript\n{name},low\n")
        with pytest.raises(DataError, match=message):
            load(TranscribeOptions(csv=table), None, 0)


def test_a_held_out_speaker_is_in_no_other_part(clips: Path) -> None:
    corpus = load(TranscribeOptions(csv=clips, group="speaker", hold_out="s3"), None, 0)
    assert {clip.speaker for clip in corpus.test} == {"s3"}
    assert "s3" not in {clip.speaker for part in (corpus.train, corpus.validation) for clip in part}


def test_figures_of_runs_without_a_speaker_are_joined(tmp_path: Path) -> None:
    """A speaker's are the mean of all runs without them; without any run, that is said."""
    with pytest.raises(DataError, match="holds no bundle of a run with --hold-out"):
        unseen(tmp_path)
    manifest = read_manifest(SHIPPED / "digits" / "1")
    runs = {("s1", 0): 0.4, ("s1", 1): 0.8, ("s2", 0): 0.5, ("s2", 1): 0.6}
    for (speaker, seed), value in runs.items():
        about: dict[str, Any] = {"dataset": "d", "split": f"all of {speaker}, whom training has not heard"}
        beside = {"nearest": value - 0.2}
        figures = (
            Quality(metric="right", value=value, higher_is_better=True, baselines=beside, **about),
            Quality(metric="wrong", value=1 - value, higher_is_better=False, **about),
        )
        file = tmp_path / f"{speaker}-{seed}" / "1" / MANIFEST_FILE
        file.parent.mkdir(parents=True)
        file.write_text(manifest.model_copy(update={"quality": figures}).model_dump_json())
    found = {(each.metric, each.split.rpartition(": ")[2]): each for each in unseen(tmp_path)}
    assert {key: round(each.value, 6) for key, each in found.items()} == {
        ("right", "mean"): 0.575,
        ("right", "worst"): 0.55,
        ("wrong", "mean"): 0.425,
        ("wrong", "worst"): 0.45,
    }
    assert found["right", "worst"].baselines["nearest"] == pytest.approx(0.35)
    assert "4 runs" in found["right", "mean"].split


@pytest.mark.skipif(data_folder() is None, reason="no public data here")
def test_the_parts_of_the_public_sounds() -> None:
    """Kaldi's split of yesno; the official one of the digits, whose held-out speaker is nowhere else."""
    yesno = load(TranscribeOptions(dataset="yesno"), data_folder(), 0)
    assert [len(part) for part in (yesno.train, yesno.validation, yesno.test)] == [27, 4, 29]
    assert yesno.test[0].text.split()[0] == "yes"
    digits = load(TranscribeOptions(dataset="digits"), data_folder(), 0)
    assert [len(part) for part in (digits.train, digits.validation, digits.test)] == [2460, 240, 300]
    held = load(TranscribeOptions(dataset="digits", hold_out="theo"), data_folder(), 0)
    assert {clip.speaker for clip in held.test} == {"theo"}
    assert len(held.test) == 500


def test_units_are_put_together_as_they_were_cut() -> None:
    """What training never saw has no labels."""
    texts = ["the cat sat", "a mat, that  sat", "the cat's mat"]
    for unit in ("word", "character", "bpe"):
        units = Units.of(unit, [cleaned(text) for text in texts], 40)
        for text in texts:
            labels = units.encode(cleaned(text))
            assert labels is not None
            assert units.text(labels) == cleaned(text)
        assert units.encode("öçñ") is None


@pytest.mark.parametrize("unit", ["word", "character", "bpe"])
def test_transcripts_that_give_no_labels_are_told_before_training(unit: Unit) -> None:
    """A word that is too long for one is as well; pieces of it are not."""
    with pytest.raises(DataError, match=r"no transcript .* has a word"):
        Units.of(unit, ["", ""], 40)
    long = [f"{'x' * 65} a"] * 3
    if unit == "word":
        with pytest.raises(DataError, match=r"--unit word: 'x.*65 characters.*64"):
            Units.of(unit, long, 40)
    else:
        units = Units.of(unit, long, 300)
        assert units.text(units.encode(long[0]) or ()) == long[0]


@settings(max_examples=50, deadline=None)
@given(one=st.lists(st.sampled_from("abc"), max_size=6), other=st.lists(st.sampled_from("abc"), max_size=6))
def test_edits_are_the_fewest(one: list[str], other: list[str]) -> None:
    """By their definition."""

    def fewest(first: int, second: int) -> int:
        if not first or not second:
            return first + second
        same = one[first - 1] == other[second - 1]
        changed = fewest(first - 1, second - 1) + (not same)
        return min(changed, fewest(first - 1, second) + 1, fewest(first, second - 1) + 1)

    assert edits(one, other) == fewest(len(one), len(other))


def test_errors_are_shares_of_all_words() -> None:
    assert word_errors(["a b c", "d"], ["a c", "d e"]) == pytest.approx(2 / 4)
    assert word_errors([""], [""]) == 0.0


def test_strings_hold_each_sound_once_and_may_tell_it_in_its_place(clips: Path) -> None:
    """Some hold nothing, and are silent or noise. Other labels are possible nowhere, alignments are."""
    corpus = load(TranscribeOptions(csv=clips), None, 0)
    labels = 1 + len(corpus.units.texts)
    net = Hearer(HearerConfig(labels))
    heard = [each for clip in corpus.train for each in Heard.of(net, clip)]
    strings = [*training_strings(heard, TranscribeSettings(), np.random.default_rng(0))]
    counted = np.bincount([label for string in strings for label in string.labels], minlength=labels)
    expected = np.bincount([label for clip in corpus.train for label in clip.labels], minlength=labels)
    np.testing.assert_array_equal(counted, expected)
    batch = batch_of(strings, labels)
    told = batch.aligned != UNTOLD
    assert batch.possible[told].gather(1, batch.aligned[told][:, None]).all()
    for row, string in enumerate(strings):
        steps = batch.aligned[row][told[row]]
        assert torch.unique(steps).tolist() == sorted(set(string.labels))
        silent = torch.ones(batch.possible.shape[1], dtype=torch.bool)
        for first, last, _ in string.spans:
            silent[first // HOPS : last // HOPS + 4] = False
        assert not batch.possible[row][silent][:, 1:].any()


def test_a_label_is_told_from_the_last_third_of_its_sound_until_a_little_behind_it() -> None:
    """Two share a sound evenly at first, and may be told anywhere behind the first's last third."""
    spans = ((20, 60, (2,)), (80, 160, (1, 2)))
    batch = batch_of([Spoken(np.zeros((200, 5), np.float32), 1.0, 0.0, spans)], 3)

    def steps(where: torch.Tensor) -> list[int]:
        return torch.nonzero(where)[:, 0].tolist()

    assert batch.possible[0, :, BLANK].all()
    assert steps(batch.possible[0, :, 1]) == [*range(26, 44)]
    assert steps(batch.possible[0, :, 2]) == [*range(11, 19), *range(26, 44)]
    assert steps(batch.aligned[0] == 1) == [*range(28, 32)]
    assert steps(batch.aligned[0] == 2) == [*range(13, 17), *range(38, 42)]


def test_what_is_told_elsewhere_is_wrong() -> None:
    """Blank everywhere is not; nor is a label in its place."""
    batch = batch_of([Spoken(np.zeros((80, 5), np.float32), 1.0, 0.0, ((20, 60, (2,)),))], 3)
    logs = torch.full((1, 20, 3), -20.0)
    logs[..., BLANK] = 0.0
    assert float(told_elsewhere(logs, batch)) == pytest.approx(0.0, abs=1e-4)
    for step, wrong in ((12, False), (3, True)):
        told = logs.clone()
        told[0, step] = torch.tensor([-20.0, -20.0, 0.0])
        assert (float(told_elsewhere(told, batch)) > 0.1) == wrong


def test_spectra_of_training_are_those_of_the_network(clips: Path) -> None:
    """Of a sound without change, frame by frame."""
    clip = load(TranscribeOptions(csv=clips), None, 0).train[0]
    net = Hearer(HearerConfig(3))
    steps, lengths = steps_of([np.pad(clip.wave, (0, 2 * net.step_samples))], net.step_samples)
    expected = net.powers(steps, torch.zeros(1, net.tail))[0].numpy()
    found = np.concatenate([each.powers for each in Heard.of(net, clip)])
    assert len(found) <= lengths[0] * HOPS
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(expected[len(found) :], 0)
