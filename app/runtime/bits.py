"""Whether a graph gives the same bits however its rows are batched, cut and padded; if not, where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import GoldenSources
from app.core.sequence import Encoded
from app.runtime.attended import Attended, fitted, gathered
from app.runtime.session import EncoderSession, GraphSession
from app.runtime.verify import replay, replay_sources

_BATCHES = (2, 5, 16)
_CHUNKS = (1, 2, 7)
_PADDINGS = (1, 5, 8, 64)
"""Positions behind what is attended to; the last ones reach other kernels of a matrix product."""


def differing_steps(
    session: GraphSession,
    start: NDArray[np.float32],
    steps: NDArray[np.generic],
    encoded: Sequence[Encoded] | None = None,
) -> str | None:
    """Where steps ``[batch, time, ...]`` have other bits than each sequence alone, at once, without padding.

    ``encoded``: what each begins from, in place of the start row ``[S]``, and attends to. ``None``: nowhere.
    """
    batch, time = steps.shape[:2]
    rows = np.repeat(start[None], batch, axis=0)
    if encoded is not None:
        rows = np.stack([each.row for each in encoded])
    given = [None if encoded is None else encoded[row].attended for row in range(batch)]

    def run(members: list[int], chunk: int, padding: int | None) -> list[NDArray[np.float32]]:
        attended = None
        if session.attended is not None:
            attended = gathered([given[row] for row in members], session.attended)
            if padding is not None and session.attended.length is None:
                attended = _padded(attended, padding)
        return replay(session, rows[members], steps[members], chunk, attended)

    alone = [run([row], time, 0) for row in range(batch)]

    def same(members: list[int], chunk: int, padding: int | None) -> bool:
        found = run(members, chunk, padding)
        for (place, row), (index, array) in product(enumerate(members), enumerate(found)):
            expected = alone[row][index][0]
            if index in session.by_position:
                array = fitted(array, expected.shape[-1])
            if not np.array_equal(array[place], expected, equal_nan=True):
                return False
        return True

    for chunk, everyone in product((*_CHUNKS, time), (False, True)):
        for members in [list(range(batch))] if everyone else [[row] for row in range(batch)]:
            if not same(members, chunk, None):
                return f"{_rows(len(members))}, {_steps(chunk)} at a time"
    for size, row in product(_BATCHES, range(batch)):
        if not same([row] * size, time, None):
            return f"{_rows(size)}, {_steps(time)} at a time"
    if session.attended is not None and session.attended.length is None:
        for padding, chunk, row in product(_PADDINGS, (1, time), range(batch)):
            if not same([row], chunk, padding):
                length = 1 if (array := given[row]) is None else len(array)
                return f"{_steps(chunk)} at a time, {length} positions attended to, and {padding} of padding"
    return None


def differing_inputs(session: EncoderSession, sources: GoldenSources) -> str | None:
    """The same of an encoder: where it makes other bits of inputs than of each alone without padding."""
    alone = replay_sources(session, sources, alone=True)

    def same(found: GoldenSources, members: list[int]) -> bool:
        pairs = [(found.rows, alone.rows)]
        if found.attended is not None and alone.attended is not None:
            pairs.append((found.attended, alone.attended))
        return all(np.array_equal(array, expected[members], equal_nan=True) for array, expected in pairs)

    for members in _batches(len(sources.rows)):
        if not same(replay_sources(session, _taken(sources, members)), members):
            return f"{len(members)} inputs together"
    everyone = list(range(len(sources.rows)))
    for padding in () if sources.lengths is None else _PADDINGS:
        if not same(replay_sources(session, sources, alone=True, padding=padding), everyone):
            return f"{padding} tokens of padding"
    return None


def _batches(num: int) -> Iterator[list[int]]:
    yield list(range(num))
    for size, row in product(_BATCHES, range(num)):
        yield [row] * size


def _taken(sources: GoldenSources, members: list[int]) -> GoldenSources:
    lengths, attended = sources.lengths, sources.attended
    return GoldenSources(
        sources.inputs[members],
        None if lengths is None else lengths[members],
        sources.rows[members],
        None if attended is None else attended[members],
    )


def _padded(attended: Attended, padding: int) -> Attended:
    """Exactly so much longer than the longest."""
    most = int(attended.lengths.max()) + padding
    values = np.zeros((len(attended.values), most, attended.values.shape[2]), np.float32)
    kept = attended.values[:, :most]
    values[:, : kept.shape[1]] = kept
    return Attended(values, attended.lengths)


def _rows(num: int) -> str:
    return "one row" if num == 1 else f"{num} rows"


def _steps(num: int) -> str:
    return "one step" if num == 1 else f"{num} steps"
