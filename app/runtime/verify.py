"""Replaying a bundle's golden vectors: does this machine compute what PyTorch computed?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle, Golden, GoldenSources
from app.core.errors import ParityError, RunFailed
from app.runtime.attended import Attended, fitted, gathered
from app.runtime.session import Device, EncoderSession, GraphSession

VERIFY_S = 30.0
"""That a replay may take: a graph may loop without end."""


def replay(
    session: GraphSession,
    start: NDArray[np.float32],
    steps: NDArray[np.generic],
    length: int,
    attended: Attended | None = None,
) -> list[NDArray[np.float32]]:
    """All outputs, ``[batch, time, ...]``, and the last rows, ``[batch, S]``; ``length`` steps at a time.

    ``start`` is one row for all ``[S]``, or of each ``[batch, S]``.
    """
    rows = np.repeat(start[None], len(steps), axis=0) if start.ndim == 1 else start
    pieces: list[list[NDArray[np.float32]]] = []
    for first in range(0, steps.shape[1], length):
        outputs, rows = session.run(
            np.ascontiguousarray(steps[:, first : first + length]), np.ascontiguousarray(rows), 0, attended
        )
        pieces.append(outputs)
    return [np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True)] + [rows]


def golden_difference(
    session: GraphSession,
    start: NDArray[np.float32],
    golden: Golden,
    *,
    chunk: int | None = None,
    alone: bool = False,
) -> float:
    """The largest absolute difference over all outputs and rows between a session and the golden vectors.

    It is divided by the largest golden magnitude of that array where it is above one. ``chunk`` feeds so many
    steps at a time; ``alone`` runs each sequence by itself. ParityError: the graph does not run.
    """
    batch, time = golden.steps.shape[:2]
    sources = golden.sources
    encoded = None if sources is None else sources.encoded()
    worst = 0.0
    with _told(session):
        for group in _groups(batch, alone):
            attended = None
            if encoded is not None and session.attended is not None:
                attended = gathered([each.attended for each in encoded[group]], session.attended)
            first = start if sources is None else sources.rows[group]
            *outputs, rows = replay(session, first, golden.steps[group], chunk or time, attended)
            for index, (name, whole) in enumerate(zip(session.output_names, outputs, strict=True)):
                if index in session.by_position:
                    whole = fitted(whole, golden.outputs[name].shape[-1])
                worst = max(worst, _difference(whole, golden.outputs[name][group], golden.outputs[name]))
            worst = max(worst, _difference(rows, golden.state_out[group], golden.state_out))
    return worst


def encoder_difference(session: EncoderSession, sources: GoldenSources, *, alone: bool = False) -> float:
    """As :func:`golden_difference`, between an encoder and the golden sources."""
    found = replay_sources(session, sources, alone=alone)
    worst = _difference(found.rows, sources.rows, sources.rows)
    if found.attended is not None and sources.attended is not None:
        worst = max(worst, _difference(found.attended, sources.attended, sources.attended))
    return worst


def replay_sources(
    session: EncoderSession, sources: GoldenSources, *, alone: bool = False, padding: int = 0
) -> GoldenSources:
    """What an encoder makes of whole inputs, with zeros where PyTorch has them.

    ``alone`` runs each by itself and without padding, which is ``padding`` tokens longer than it need be.
    """
    rows: list[NDArray[np.float32]] = []
    attended = None if sources.attended is None else np.zeros_like(sources.attended)
    with _told(session):
        for group in _groups(len(sources.rows), alone):
            inputs, lengths, longest = sources.inputs[group], None, 0
            if sources.lengths is not None:
                lengths = sources.lengths[group]
                longest = int(lengths.max())
                inputs = np.pad(inputs[:, :longest], ((0, 0), (0, padding)))
            of_group, given = session.run(np.ascontiguousarray(inputs), lengths)
            rows.append(of_group)
            if attended is not None:
                for row, values in zip(range(len(sources.rows))[group], given[0], strict=True):
                    length = None if sources.lengths is None else sources.lengths[row]
                    attended[row, :length] = values[:length]
    return replace(sources, rows=np.concatenate(rows), attended=attended)


def verify_bundle(bundle: Bundle, session: GraphSession, encoder: EncoderSession | None = None) -> float:
    """Replay the golden vectors in one batch; raises ParityError above the manifest's bound.

    With an encoder both graphs are replayed, and the second one on what the first one gives as well.
    """
    golden = bundle.golden
    difference = golden_difference(session, bundle.start, golden)
    if encoder is not None and golden.sources is not None:
        found = replay_sources(encoder, golden.sources)
        joined = golden_difference(session, bundle.start, replace(golden, sources=found))
        difference = max(difference, encoder_difference(encoder, golden.sources), joined)
    bound = bundle.manifest.parity.bound
    if not difference <= bound:
        raise ParityError(
            f"{bundle.manifest.reference}: the graph differs from its golden vectors by {difference:.2e}, "
            f"more than the bound of {bound:.2e}"
        )
    return difference


def open_encoder(bundle: Bundle, device: Device = "cpu") -> EncoderSession | None:
    """The encoder of a bundle, if it has one; raises as :class:`EncoderSession`."""
    return None if bundle.encoder is None else EncoderSession(bundle.encoder, bundle.manifest, device)


@contextmanager
def _told(session: GraphSession | EncoderSession) -> Iterator[None]:
    """Runs in the block end in time; one that fails raises ParityError."""
    try:
        with session.bounded(VERIFY_S):
            yield
    except RunFailed as error:
        raise ParityError(
            f"the graph did not run on its golden vectors within {VERIFY_S:g} s: {error.message}"
        ) from None


def _groups(batch: int, alone: bool) -> list[slice]:
    return [slice(index, index + 1) for index in range(batch)] if alone else [slice(0, batch)]


def _difference(
    actual: NDArray[np.float32], expected: NDArray[np.float32], scale_of: NDArray[np.float32]
) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    if actual.size == 0:
        return 0.0
    largest = float(np.max(np.abs(actual.astype(np.float64) - expected)))
    return largest / max(1.0, float(np.max(np.abs(scale_of))))
