"""Pieces of the user's own: a folder of MIDI files."""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from app.bundle.manifest import Source
from app.core.errors import DataError, InvalidInput
from app.tasks.compose.midi import read_midi, voices_of
from training.compose.corpus import Corpus, Piece, ranges
from training.compose.settings import ComposeOptions

_LEAST_FILES = 8
_MOST_STEPS = 20_000
_MOST_BYTES = 10_000_000
_PARTS = (0.8, 0.9)
"""Where the training and the validation part end, as shares of the files."""


def own_pieces(options: ComposeOptions, seed: int) -> Corpus:
    """A file with as many tracks as there are voices has a voice in each; of others, notes from the top.

    Files that cannot be read are named and left out.

    Raises:
        DataError: the folder is missing, or too few of its files can be read.
    """
    folder = options.midi
    assert folder is not None
    if not folder.is_dir():
        raise DataError(f"--midi {folder.name!r} is no folder")
    if options.grid % 4:
        raise DataError(f"--grid {options.grid} is not four times a whole number; try 16")
    steps_per_beat = options.grid // 4
    pieces: list[Piece] = []
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi")):
        try:
            data = path.read_bytes()
            parts = read_midi(data, steps_per_beat, _MOST_STEPS, _MOST_BYTES, "midi")
            pieces.append(Piece(*voices_of(parts, options.voices)))
        except (OSError, InvalidInput) as error:
            print(f"left out {path.name!r}: {error}", file=sys.stderr)
            continue
        digest.update(data)
    if len(pieces) < _LEAST_FILES:
        raise DataError(f"{len(pieces)} MIDI files of {folder.name!r} can be read; {_LEAST_FILES} are needed")
    order = np.random.default_rng(seed).permutation(len(pieces))
    first, second = (max(1, round(share * len(pieces))) for share in _PARTS)
    second = min(max(second, first + 1), len(pieces) - 1)
    first = min(first, second - 1)
    train, validation, test = ([pieces[index] for index in part] for part in np.split(order, [first, second]))
    names = (
        ["melody"] if options.voices == 1 else [f"voice{number}" for number in range(1, options.voices + 1)]
    )
    source = Source(name=folder.name, sha256=digest.hexdigest())
    voices = ranges(names, pieces)
    return Corpus(
        folder.name, voices, steps_per_beat, 4, options.voices > 1, True, train, validation, test, (source,)
    )
