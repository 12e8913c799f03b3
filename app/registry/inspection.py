"""Verifying bundles without serving them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import Manifest
from app.bundle.reader import find_bundles
from app.core.errors import BundleError
from app.registry.loading import read_placed
from app.registry.version_order import version_key
from app.runtime.session import Device, GraphSession
from app.runtime.verify import verify_bundle


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
    for path in in_order(find_bundles(folder)):
        try:
            bundle = read_placed(path)
            session = GraphSession(bundle.graph, bundle.manifest, device)
            inspections.append(Inspection(path, bundle.manifest, verify_bundle(bundle, session)))
        except BundleError as error:
            inspections.append(Inspection(path, error=error))
    return inspections


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Bundle folders by name, versions ascending."""
    return sorted(paths, key=lambda path: (path.parent.name, version_key(path.name)))
