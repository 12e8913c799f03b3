"""The bundle that training starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.bundle.manifest import Manifest
from app.bundle.reader import find_bundles, read_manifest
from app.core.errors import TrainingError


def find_start(reference: str, task: str, models: Path) -> tuple[Path, Manifest]:
    """Folder and manifest of a bundle of a task.

    Args:
        reference: ``name@version`` or ``name``, of which the newest version is taken.
        task: of the bundle.
        models: the folder where it is.

    Raises:
        TrainingError: there is no such bundle.
    """
    name, _, version = reference.partition("@")
    found = [(folder, read_manifest(folder)) for folder in find_bundles(models)]
    fitting = [(folder, manifest) for folder, manifest in found if manifest.task == task]
    for folder, manifest in reversed(fitting):
        if manifest.name == name and version in ("", manifest.version):
            return folder, manifest
    known = ", ".join(manifest.reference for _, manifest in fitting) or "none"
    raise TrainingError(f"there is no {task} model {reference!r} in {str(models)!r}; there are: {known}")


def leave_to(reference: str, names: Iterable[str], given: Mapping[str, Any]) -> None:
    """Raises TrainingError where the user gave a setting that the bundle to start from decides."""
    for name in names:
        if given.get(name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise TrainingError(f"{flag} is decided by {reference}, which training starts from: leave it out")
