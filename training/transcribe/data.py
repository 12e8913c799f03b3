"""What there is to learn from: spoken digits, yes and no, or the user's own files."""

from __future__ import annotations

import io
import re
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.core.errors import DataError, InvalidInput
from app.features.table import read_table
from app.tasks.transcribe.audio import read_sound
from training.data.download import DataStore
from training.recipe import file_source, reading
from training.transcribe.clips import Clip, Corpus, corpus
from training.transcribe.settings import DIGITS, TranscribeOptions
from training.transcribe.units import Units, cleaned

FSDD, YESNO_FILE = "speech/fsdd/recordings.zip", "speech/yesno/waves_yesno.zip"
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGIT = re.compile(r"(?:.*/)?(\d)_([a-z]+)_(\d+)\.wav")
_YESNO = re.compile(r"(?:.*/)?([01](?:_[01])+)\.wav")
_RATE = 8000
_TEST_TAKES, _VALIDATION_TAKES = 5, 9
_YESNO_TRAIN, _YESNO_VALIDATION = 31, 4
_MIN_GROUPS = 4
_SHARE = 0.15
_MAX_SECONDS = 60.0


def load(options: TranscribeOptions, data: Path | None, seed: int) -> Corpus:
    """Raises DataError: the files cannot be used; the message says why."""
    if options.csv is not None:
        return _of_csv(options, options.csv, seed)
    store = DataStore.open(data)
    return _digits(store, options.hold_out) if options.dataset == DIGITS else _yesno(store)


def _digits(store: DataStore, hold_out: str | None) -> Corpus:
    """Free Spoken Digit Dataset: takes 0 to 4 are the official test part."""
    found = [
        (Clip(samples, _WORDS[int(match[1])], match[2]), int(match[3]))
        for match, samples in _archive(store.file(FSDD), _DIGIT)
    ]
    speakers = sorted({clip.speaker for clip, _ in found})
    _check_speaker(hold_out, speakers)
    test = [
        clip for clip, take in found if (take < _TEST_TAKES if hold_out is None else clip.speaker == hold_out)
    ]
    rest = [(clip, take) for clip, take in found if clip.speaker != hold_out]
    first = _TEST_TAKES if hold_out is None else 0
    last = _VALIDATION_TAKES if hold_out is None else _VALIDATION_TAKES - _TEST_TAKES
    validation = [clip for clip, take in rest if first <= take < last]
    train = [clip for clip, take in rest if take >= last]
    split = "takes 0 to 4, by the speakers of the training part"
    if hold_out is not None:
        split = f"all takes of {hold_out}, whom training has not heard"
    units = Units.of("word", _WORDS, 0)
    parts = (train, validation, test)
    return corpus("Free Spoken Digit Dataset", split, _RATE, units, parts, (store.source(FSDD),), single=True)


def _yesno(store: DataStore) -> Corpus:
    """OpenSLR 1: one speaker, eight words a sound; the first 31 of the sorted files train (Kaldi)."""
    found = sorted(_archive(store.file(YESNO_FILE), _YESNO), key=lambda item: item[0][1])
    clips = [
        Clip(samples, " ".join("yes" if word == "1" else "no" for word in match[1].split("_")), "one")
        for match, samples in found
    ]
    train, test = clips[:_YESNO_TRAIN], clips[_YESNO_TRAIN:]
    parts = (train[:-_YESNO_VALIDATION], train[-_YESNO_VALIDATION:], test)
    split = "the last 29 files in the order of their names"
    units = Units.of("word", ["yes no"], 0)
    return corpus("yesno (OpenSLR 1)", split, _RATE, units, parts, (store.source(YESNO_FILE),))


def _archive(path: Path, names: re.Pattern[str]) -> Iterator[tuple[re.Match[str], np.ndarray]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                match = names.fullmatch(name)
                if match:
                    with wave.open(io.BytesIO(archive.read(name))) as sound:
                        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
                    yield match, samples
    except (OSError, zipfile.BadZipFile, wave.Error) as error:
        raise DataError(f"cannot read {path.name!r}: {error}") from error


def _of_csv(options: TranscribeOptions, csv: Path, seed: int) -> Corpus:
    with reading(csv):
        table = read_table(csv.read_bytes())
        audio, text = table.index_of(options.audio, "--audio"), table.index_of(options.text, "--text")
        group = None if options.group is None else table.index_of(options.group, "--group")
    clips = []
    for row in table.rows:
        said = cleaned(row.cells[text])
        speaker = "" if group is None else row.cells[group]
        clips.append(Clip(_sound(csv.parent / row.cells[audio], options.rate, row.line), said, speaker))
    speakers = sorted({clip.speaker for clip in clips})
    _check_speaker(options.hold_out, speakers)
    parts, split = _parts(clips, speakers, options, seed)
    units = Units.of(options.unit, [clip.text for clip in parts[0]], options.vocab_size)
    return corpus(csv.name, split, options.rate, units, parts, (file_source(csv),))


def _sound(path: Path, rate: int, line: int) -> np.ndarray:
    try:
        return read_sound(path.read_bytes(), rate, _MAX_SECONDS)[0]
    except OSError as error:
        raise DataError(f"line {line}: cannot read {path.name!r}: {error.strerror}") from error
    except InvalidInput as error:
        raise DataError(f"line {line}: {path.name!r}: {error.message}") from error


def _parts(
    clips: list[Clip], speakers: list[str], options: TranscribeOptions, seed: int
) -> tuple[tuple[list[Clip], list[Clip], list[Clip]], str]:
    """Test on the speaker held out, or on some of the speakers where there are several, or of the sounds."""
    random = np.random.default_rng(seed)
    if options.hold_out is not None:
        test = [clip for clip in clips if clip.speaker == options.hold_out]
        rest = [clip for clip in clips if clip.speaker != options.hold_out]
        chosen = set(random.permutation(len(rest))[: round(_SHARE * len(rest))].tolist())
        train = [clip for index, clip in enumerate(rest) if index not in chosen]
        validation = [rest[index] for index in sorted(chosen)]
        return (train, validation, test), f"all sounds of {options.hold_out}, whom training has not heard"
    if len(speakers) >= _MIN_GROUPS:
        keys, split = [clip.speaker for clip in clips], "speakers whom training has not heard"
    else:
        keys, split = [str(index) for index in range(len(clips))], "a random 15 % of the sounds"
    names = sorted(set(keys))
    order = [names[index] for index in random.permutation(len(names))]
    count = max(1, round(_SHARE * len(names)))
    part_of = {
        name: 2 if place < count else 1 if place < 2 * count else 0 for place, name in enumerate(order)
    }
    parts: tuple[list[Clip], list[Clip], list[Clip]] = ([], [], [])
    for clip, name in zip(clips, keys, strict=True):
        parts[part_of[name]].append(clip)
    return parts, split


def _check_speaker(hold_out: str | None, speakers: list[str]) -> None:
    if hold_out is not None and hold_out not in speakers:
        raise DataError(
            f"--hold-out {hold_out!r} is no speaker of these; allowed: {', '.join(speakers[:20])}"
        )
