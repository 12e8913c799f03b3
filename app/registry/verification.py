"""A bundle checked in every way there is, as a report that people read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from app.bundle.manifest import Manifest
from app.bundle.reader import Bundle, read_bundle
from app.core.errors import BundleError, ParityError
from app.registry.loading import read_placed
from app.runtime.session import Device, GraphSession
from app.runtime.verify import golden_difference, replay, verify_bundle
from app.tasks.task import Tasks


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a report. ``note`` is worth knowing, and keeps nobody from serving the bundle."""

    verdict: Literal["ok", "note", "BAD"]
    subject: str
    text: str


def measure(path: Path, device: Device = "cpu") -> tuple[Manifest, float]:
    """How far a bundle's graph is from its golden vectors; raises BundleError and DeviceUnavailable."""
    bundle = read_placed(path)
    return bundle.manifest, verify_bundle(bundle, GraphSession(bundle.graph, bundle.manifest, device))


def verify(path: Path, tasks: Tasks, device: Device = "cpu") -> Iterator[Check]:
    """Check the bundle in ``path``; ends behind the first check that is bad. Raises DeviceUnavailable."""
    try:
        yield from _checks(path, tasks, device)
    except BundleError as error:
        subject = "golden" if isinstance(error, ParityError) else "bundle"
        yield Check("BAD", subject, error.message)


def check_whole(path: Path, tasks: Tasks, device: Device = "cpu") -> None:
    """Raise where :func:`verify` would report something bad."""
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
    bound = manifest.parity.bound
    ways = (("golden", None, False), ("step by step", 1, False), ("one by one", None, True))
    for subject, chunk, alone in ways:
        difference = golden_difference(session, bundle.start, bundle.golden, chunk=chunk, alone=alone)
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
    start, steps = bundle.start, bundle.golden.steps
    whole = replay(session, start, steps, steps.shape[1])
    stepwise = replay(session, start, steps, 1)
    alone = [replay(session, start, steps[row : row + 1], steps.shape[1]) for row in range(len(steps))]
    joined = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    return all(
        np.array_equal(expected, found, equal_nan=True)
        for other in (stepwise, joined)
        for expected, found in zip(whole, other, strict=True)
    )
