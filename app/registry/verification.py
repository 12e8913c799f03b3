"""A bundle checked in every way there is, as a report that people read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Manifest
from app.bundle.reader import Bundle, find_bundles, read_bundle
from app.core.errors import BundleError, ParityError
from app.registry.loading import read_placed
from app.registry.look import version_key
from app.runtime.session import Device, GraphSession
from app.runtime.verify import golden_difference, verify_bundle
from app.tasks.task import Tasks


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a report. ``note`` is worth knowing, and keeps nobody from serving the bundle."""

    verdict: Literal["ok", "note", "BAD"]
    subject: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What became of one bundle: a manifest and the parity found, or an error."""

    folder: Path
    manifest: Manifest | None = None
    difference: float | None = None
    error: BundleError | None = None


def inspect_models(folder: Path, device: Device = "cpu") -> list[Inspection]:
    """Verify every bundle on its own.

    Raises:
        BundleError: the folder does not exist.
        DeviceUnavailable: the device cannot be used.
    """
    inspections: list[Inspection] = []
    for path in sorted(find_bundles(folder), key=lambda path: (path.parent.name, version_key(path.name))):
        try:
            bundle = read_placed(path)
            session = GraphSession(bundle.graph, bundle.manifest, device)
            inspections.append(Inspection(path, bundle.manifest, verify_bundle(bundle, session)))
        except BundleError as error:
            inspections.append(Inspection(path, error=error))
    return inspections


def verify(path: Path, tasks: Tasks, device: Device = "cpu") -> Iterator[Check]:
    """Check the bundle in ``path``; ends behind the first check that is bad.

    Raises:
        DeviceUnavailable: the device cannot be used.
    """
    try:
        yield from _checks(path, tasks, device)
    except BundleError as error:
        subject = "golden" if isinstance(error, ParityError) else "bundle"
        yield Check("BAD", subject, error.message)


def check_whole(path: Path, tasks: Tasks, device: Device = "cpu") -> None:
    """Raise where :func:`verify` would report something bad.

    Raises:
        BundleError: the bundle cannot be served.
        DeviceUnavailable: the device cannot be used.
    """
    for _ in _checks(path, tasks, device):
        pass


def _checks(path: Path, tasks: Tasks, device: Device) -> Iterator[Check]:
    bundle = read_bundle(path)
    manifest = bundle.manifest
    network = manifest.network
    yield Check(
        "ok",
        "manifest",
        f"{manifest.reference}, {manifest.task}, {network.cell}, "
        f"{network.layers} layers of {network.hidden}, {network.parameters:,} parameters",
    )
    size = sum((path / name).stat().st_size for name in manifest.files)
    yield Check("ok", "files", f"{len(manifest.files)} files, {size:,} bytes, each with its recorded sha256")
    tasks.open(bundle)
    yield Check("ok", "task", "what the manifest says of inputs and outputs fits")
    session = GraphSession(bundle.graph, manifest, device)
    yield Check("ok", "graph", f"loads on {device}, with the inputs and outputs of the manifest")
    for subject, chunk, alone in (
        ("golden", None, False),
        ("step by step", 1, False),
        ("one by one", None, True),
    ):
        difference = golden_difference(session, bundle.start, bundle.golden, chunk=chunk, alone=alone)
        bound = manifest.parity.bound
        if not difference <= bound:
            raise ParityError(
                f"{subject}: the graph differs from its golden vectors by {difference:.2e}, more than the "
                f"bound of {bound:.2e}"
            )
        yield Check("ok", subject, f"differs from PyTorch by {difference:.1e}; the bound is {bound:.1e}")
    if _bits_hold(session, bundle):
        yield Check("ok", "bits", "the same however a sequence is cut and batched")
    else:
        yield Check("note", "bits", "not the same for every cut and batch, so answers may differ under load")


def _bits_hold(session: GraphSession, bundle: Bundle) -> bool:
    """Whether the golden steps give the same bits at once, step by step, and each sequence alone."""
    steps = bundle.golden.steps
    whole = _run(session, bundle, steps, steps.shape[1])
    stepwise = _run(session, bundle, steps, 1)
    alone = [_run(session, bundle, steps[row : row + 1], steps.shape[1]) for row in range(len(steps))]
    joined = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    return all(
        np.array_equal(one, other, equal_nan=True) and np.array_equal(one, third, equal_nan=True)
        for one, other, third in zip(whole, stepwise, joined, strict=True)
    )


def _run(
    session: GraphSession, bundle: Bundle, steps: NDArray[np.generic], length: int
) -> list[NDArray[np.float32]]:
    """All outputs, ``[batch, time, ...]``, and the last rows, ``[batch, S]``; ``length`` steps at a time."""
    rows = np.repeat(bundle.start[None], len(steps), axis=0)
    pieces: list[list[NDArray[np.float32]]] = []
    for first in range(0, steps.shape[1], length):
        outputs, rows = session.run(
            np.ascontiguousarray(steps[:, first : first + length]), np.ascontiguousarray(rows), 0
        )
        pieces.append(outputs)
    return [np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True)] + [rows]
