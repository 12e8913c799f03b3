"""What lies in the models folders now: bundles by their signature, and labels.

A bundle is read only when its signature has changed, so that looking every few seconds costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bundle.reader import find_bundles, version_key
from app.core.errors import InvalidManifest
from app.registry.labels import read_labels
from app.service.catalog import Label

Signature = tuple[tuple[str, int, int, int, int], ...]
"""Of each file: name, inode, size, times of the last change of content and of entry, in ns."""


@dataclass(frozen=True, slots=True)
class Found:
    path: Path
    signature: Signature

    @property
    def name(self) -> str:
        return self.path.parent.name

    @property
    def version(self) -> str:
        return self.path.name

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Look:
    bundles: dict[str, Found]
    """By ``name@version``, by name, versions ascending."""
    labels: dict[str, dict[str, Label] | None]
    """Of each name, from the first folder that has some; ``None`` where they are malformed."""
    problems: list[str]
    """What was wrong with labels, for the log."""


def look_at(folders: Sequence[Path]) -> Look:
    """Look at every folder; where two hold the same version, the first counts.

    Raises BundleError or OSError when one cannot be read: what was there is not known, so nothing has gone.
    """
    bundles: dict[str, Found] = {}
    labels: dict[str, dict[str, Label] | None] = {}
    problems: list[str] = []
    for folder in folders:
        names = set()
        for path in find_bundles(folder):
            names.add(path.parent.name)
            signature = sign(path)
            if signature is not None:
                found = Found(path, signature)
                bundles.setdefault(found.reference, found)
        for name in sorted(names):
            if labels.get(name, {}) != {}:
                continue
            try:
                labels[name] = read_labels(folder / name)
            except InvalidManifest as error:
                labels[name] = None
                problems.append(error.message)
    return Look({reference: bundles[reference] for reference in in_order(bundles)}, labels, problems)


def sign(path: Path) -> Signature | None:
    """The signature of a bundle's folder; ``None`` when it has just gone."""
    try:
        with os.scandir(path) as entries:
            stats = sorted((entry.name, entry.stat(follow_symlinks=True)) for entry in entries)
    except OSError:
        return None
    return tuple(
        (name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats
    )


def in_order(references: Iterable[str]) -> list[str]:
    """``name@version``, by name, versions ascending."""
    parted = sorted((one.partition("@") for one in references), key=lambda one: (one[0], version_key(one[2])))
    return ["".join(one) for one in parted]
