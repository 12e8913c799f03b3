"""A bundle checked in every way there is, as a report that people read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.bundle.manifest import Manifest
from app.bundle.reader import read_bundle
from app.core.errors import BundleError, ParityError
from app.registry.loading import read_placed
from app.runtime.bits import differing_inputs, differing_steps
from app.runtime.session import Device, GraphSession
from app.runtime.verify import (
    encoder_difference,
    golden_difference,
    open_encoder,
    replay_sources,
    verify_bundle,
)
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
    session = GraphSession(bundle.graph, bundle.manifest, device)
    return bundle.manifest, verify_bundle(bundle, session, open_encoder(bundle, device))


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
    encoder = open_encoder(bundle, device)
    graphs = "loads" if encoder is None else "and its encoder load"
    yield Check("ok", "graph", f"{graphs} on {device}, with the inputs and outputs of the manifest")
    bound = manifest.parity.bound
    ways = (("golden", None, False), ("step by step", 1, False), ("one by one", None, True))
    differences = [
        (subject, golden_difference(session, bundle.start, bundle.golden, chunk=chunk, alone=alone))
        for subject, chunk, alone in ways
    ]
    sources = bundle.golden.sources
    if encoder is not None and sources is not None:
        joined = replace(bundle.golden, sources=replay_sources(encoder, sources))
        differences += [
            ("encoder", encoder_difference(encoder, sources)),
            ("joined", golden_difference(session, bundle.start, joined)),
        ]
    for subject, difference in differences:
        if not difference <= bound:
            raise ParityError(
                f"{subject}: the graph differs from its golden vectors by {difference:.2e}, more than the "
                f"bound of {bound:.2e}"
            )
        yield Check("ok", subject, f"differs from PyTorch by {difference:.1e}; the bound is {bound:.1e}")
    encoded = None if sources is None else sources.encoded()
    differing = differing_steps(session, bundle.start, bundle.golden.steps, encoded)
    if encoder is not None and sources is not None:
        differing = differing or differing_inputs(encoder, sources)
    if differing is None:
        yield Check("ok", "bits", "the same however a sequence is cut and batched")
    else:
        text = "not the same for every cut and batch, so answers may differ under load"
        yield Check("note", "bits", f"{text}: {differing}")
