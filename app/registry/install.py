"""Putting a bundle into a models folder: checked whole, then visible at once, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import MANIFEST_FILE, Manifest
from app.bundle.reader import MAX_MANIFEST_BYTES, parse_manifest
from app.core.errors import BundleError, DigestMismatch, FetchFailed
from app.registry.origin import Budget, Origin


@dataclass(frozen=True, slots=True)
class Installed:
    """A bundle that is in place; ``fresh`` unless the very same was there before."""

    path: Path
    manifest: Manifest
    fresh: bool


def read_head(origin: Origin) -> bytes:
    """The manifest's bytes; raises FetchFailed when it cannot be read, or is too large to be one."""
    data = b""
    for piece in origin(MANIFEST_FILE):
        data += piece
        if len(data) > MAX_MANIFEST_BYTES:
            raise FetchFailed(f"{MANIFEST_FILE} is larger than {MAX_MANIFEST_BYTES} bytes")
    return data


def install(
    origin: Origin,
    head: bytes,
    folder: Path,
    budget: Budget,
    verify: Callable[[Path], None] = lambda path: None,
    *,
    replace: bool,
) -> Installed:
    """Copy a bundle, whose manifest is ``head``, to ``folder/NAME/VERSION``.

    ``verify`` checks the copy in its hidden folder, and raises; another bundle of the same version is there
    only to be replaced with ``replace``.

    Raises:
        InvalidManifest, DigestMismatch: the manifest is malformed, or a file does not have its sha256.
        FetchFailed: a file cannot be read, or the budget is spent.
        BundleError: the version is there with other content, the folder cannot be written, or
            what ``verify`` raises.
    """
    # Its names are plain: the schema lets no separator and no leading dot through.
    manifest = parse_manifest(head)
    target = folder / manifest.name / manifest.version
    if _same(target, head, manifest):
        return Installed(target, manifest, fresh=False)
    if target.exists() and not replace:
        raise BundleError(f"{manifest.reference} is there already, with other content")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=target.parent))
    except OSError as error:
        raise BundleError(f"cannot write below {str(folder)!r}: {error.strerror}") from error
    try:
        staging.chmod(0o755)
        for name, digest in manifest.files.items():
            _copy(origin, name, digest, staging, budget)
        _write(staging / MANIFEST_FILE, head)
        verify(staging)
        _put_in_place(staging, target)
    except OSError as error:
        raise BundleError(f"cannot write {manifest.reference}: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            target.parent.rmdir()  # only when nothing is in it
    return Installed(target, manifest, fresh=True)


def remove(target: Path) -> None:
    """Take a version away, out of sight first."""
    hidden = Path(tempfile.mkdtemp(prefix=".removed-", dir=target.parent))
    with contextlib.suppress(OSError):
        target.rename(hidden / target.name)
    shutil.rmtree(hidden, ignore_errors=True)
    with contextlib.suppress(OSError):
        target.parent.rmdir()


def _copy(origin: Origin, name: str, digest: str, staging: Path, budget: Budget) -> None:
    found = hashlib.sha256()
    with (staging / name).open("xb") as file:
        for piece in budget.spend(origin(name)):
            found.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if found.hexdigest() != digest:
        raise DigestMismatch(f"{name} does not have the sha256 that the manifest records")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that readers see as it was or as it is; raises OSError."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write(staged, data)
        staged.chmod(0o644)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename; readers may miss an old bundle for a moment, and never see a half new one."""
    old = staging.with_name(f".replaced-{staging.name[1:]}")
    with contextlib.suppress(FileNotFoundError):
        target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            old.rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _same(target: Path, head: bytes, manifest: Manifest) -> bool:
    """Whether this very bundle is there; its files are checked again whenever it is loaded."""
    try:
        return (target / MANIFEST_FILE).read_bytes() == head and all(
            (target / name).is_file() for name in manifest.files
        )
    except OSError:
        return False
