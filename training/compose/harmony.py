"""Melodies harmonised by a network, and what a teacher would mark in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from app.runtime.sampling import Sampler, SamplingBatch
from app.tasks.compose.music import NOTHING, OPEN, Pitches
from app.tasks.compose.spec import OUTPUT, ComposeSpec
from training.compose.corpus import Piece
from training.graph_net import MeasuredNet

RANGES = {"soprano": (60, 81), "alto": (53, 74), "tenor": (48, 69), "bass": (40, 62)}
"""C4 to A5, F3 to D5, C3 to A4 and E2 to D4, as choral writing is taught."""
TEMPERATURE = 0.5
_FIFTH, _OCTAVE = 7, 12


@dataclass(frozen=True, slots=True)
class Marks:
    """For each hundred chords: parallel fifths, parallel octaves, and notes outside of :data:`RANGES`."""

    fifths: float
    octaves: float
    out_of_range: float


@torch.no_grad()
def harmonised(net: MeasuredNet, pieces: Sequence[Piece], spec: ComposeSpec, seed: int) -> list[Pitches]:
    """The first voice of each piece with the others drawn at :data:`TEMPERATURE`."""
    layout = spec.layout
    streams = []
    for piece in pieces:
        given = np.full(piece.pitches.shape, OPEN, np.int64)
        given[:, 0] = piece.pitches[:, 0]
        streams.append(layout.encode(given))
    num, longest = len(streams), max(map(len, streams))
    forced = np.full((longest, num), NOTHING, np.int64)
    for column, stream in enumerate(streams):
        forced[: len(stream), column] = stream
    every = np.ones(num)
    batch = SamplingBatch(
        every * TEMPERATURE,
        np.zeros(num, np.int64),
        every,
        (seed + np.arange(num)).astype(np.uint64),
        np.zeros(num, np.uint64),
        np.full(num, -1, np.int64),
    )
    sampler = Sampler(batch, [(NOTHING,)] * num)
    state = net.start_row().expand(num, -1).contiguous()
    last, found = np.zeros(num, np.int64), np.empty_like(forced)
    for place in range(longest):
        outputs, state = net(torch.from_numpy(last[:, None]).to(net.device), state)
        drawn = sampler.draw(outputs[OUTPUT][:, 0].float().cpu().numpy())
        last = found[place] = np.where(forced[place] >= 0, forced[place], drawn)
    return [layout.decode(found[: len(stream), column])[0] for column, stream in enumerate(streams)]


def marks(pieces: Sequence[Pitches], names: Sequence[str]) -> Marks:
    """Of pitches ``[steps, voices]`` of each piece; a chord is a step at which any voice moves."""
    chords = fifths = octaves = outside = 0
    for pitches in pieces:
        moved = pitches[1:] != pitches[:-1]
        chords += 1 + int(moved.any(axis=1).sum())
        for one, other in combinations(range(len(names)), 2):
            sounding: NDArray[np.bool_] = np.all(pitches[:, [one, other]] >= 0, axis=1)
            distance = np.abs(pitches[:, one] - pitches[:, other]) % _OCTAVE
            steps = np.sign(np.diff(pitches[:, [one, other]], axis=0))
            along = (steps[:, 0] == steps[:, 1]) & (steps[:, 0] != 0) & sounding[1:] & sounding[:-1]
            fifths += int((along & (distance[1:] == _FIFTH) & (distance[:-1] == _FIFTH)).sum())
            octaves += int((along & (distance[1:] == 0) & (distance[:-1] == 0)).sum())
        for column, name in enumerate(names):
            low, high = RANGES[name]
            begins = np.concatenate([[True], moved[:, column]]) & (pitches[:, column] >= 0)
            outside += int((begins & ((pitches[:, column] < low) | (pitches[:, column] > high))).sum())
    return Marks(*(100.0 * count / chords for count in (fifths, octaves, outside)))
