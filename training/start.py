"""The bundle that training starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.bundle.manifest import Manifest
from app.bundle.reader import find_bundles, read_manifest
from app.core.errors import BundleError, TrainingError


def find_start(reference: str, task: str, models: Path) -> tuple[Path, Manifest]:
    """Folder and manifest of a bundle of a task.

    Args:
        reference: ``name@version`` or ``name``, of which the newest version is taken.
        task: of the bundle.
        models: the folder where it is.

    Raises:
        TrainingError: there is no such bundle.
        BundleError: one of that name cannot be read; what others are does not matter.
    """
    name, _, version = reference.partition("@")
    fitting: list[tuple[Path, Manifest]] = []
    for folder in find_bundles(models) if models.is_dir() else ():
        try:
            manifest = read_manifest(folder)
        except BundleError:
            if folder.parent.name == name:
                raise
            continue
        if manifest.task == task:
            fitting.append((folder, manifest))
    for folder, manifest in reversed(fitting):
        if manifest.name == name and version in ("", manifest.version):
            return folder, manifest
    known = ", ".join(manifest.reference for _, manifest in fitting) or "none"
    place = f"{str(models)!r}, which --out names"
    raise TrainingError(f"there is no {task} model {reference!r} in {place}; there are: {known}")


def leave_to(reference: str, names: Iterable[str], given: Mapping[str, Any]) -> None:
    """Raises TrainingError where the user gave a setting that the bundle to start from decides."""
    for name in names:
        if given.get(name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise TrainingError(f"{flag} is decided by {reference}, which training starts from: leave it out")
