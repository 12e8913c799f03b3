"""``models/NAME/labels.json``: names for versions of a model, and their shares of its requests.

{"stable": {"version": "1"}, "canary": {"version": "2", "share": 0.05}}
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel, StringConstraints, ValidationError, model_validator

from app.bundle.manifest import Section, Version
from app.bundle.reader import read_regular
from app.core.errors import InvalidManifest
from app.registry.install import write_whole
from app.service.catalog import STABLE, Label

LABELS_FILE = "labels.json"
MAX_LABELS_BYTES = 64 << 10

# What a person wrote in percent adds up to one only nearly.
_ROUNDING = 1e-9


class _Entry(Section):
    version: Version
    share: float = Field(default=0.0, ge=0, le=1)


class _Labels(RootModel[dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], _Entry]]):
    @model_validator(mode="after")
    def _shares(self) -> _Labels:
        stable = self.root.get(STABLE)
        if stable is not None and stable.share:
            raise ValueError(f"{STABLE!r} has no share of its own; it gets what the others leave")
        total = sum(entry.share for entry in self.root.values())
        if total > 1 + _ROUNDING:
            raise ValueError(f"the shares add up to {total:.4g}, more than 1")
        return self


def read_labels(folder: Path) -> dict[str, Label]:
    """The labels of the model in ``folder``; none when it has no such file. Raises InvalidManifest."""
    try:
        data = read_regular(folder / LABELS_FILE, MAX_LABELS_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidManifest(f"{folder.name}: cannot read {LABELS_FILE}: {error.strerror}") from error
    return parse_labels(folder.name, data)


def parse_labels(name: str, data: bytes) -> dict[str, Label]:
    """The labels in the file's bytes; raises InvalidManifest, which names the first wrong field."""
    try:
        parsed = _Labels.model_validate_json(data)
    except ValidationError as error:
        raise _wrong(name, error) from error
    return {label: Label(entry.version, entry.share) for label, entry in parsed.root.items()}


def write_labels(folder: Path, labels: Mapping[str, Label]) -> None:
    """Replace the labels of a model as a whole.

    Raises:
        InvalidManifest: a label or a share is not allowed, or the folder cannot be written.
    """
    try:
        parsed = _Labels.model_validate(
            {name: {"version": label.version, "share": label.share} for name, label in labels.items()}
        )
    except ValidationError as error:
        raise _wrong(folder.name, error) from error
    text = parsed.model_dump_json(indent=2, exclude_defaults=True) + "\n"
    try:
        write_whole(folder / LABELS_FILE, text.encode())
    except OSError as error:
        raise InvalidManifest(f"{folder.name}: cannot write {LABELS_FILE}: {error.strerror}") from error


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Only one process at a time reads and rewrites what is in ``folder``."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _wrong(name: str, error: ValidationError) -> InvalidManifest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "document"
    return InvalidManifest(f"{name}: {LABELS_FILE}: {where}: {first['msg'].removeprefix('Value error, ')}")
