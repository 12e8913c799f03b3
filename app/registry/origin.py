"""Where the files of one bundle come from, a folder or an archive, and what copying them may cost.

Files are asked for by the plain names of a manifest, so no path in an archive is ever followed or created.
"""

from __future__ import annotations

import contextlib
import lzma
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from app.bundle.manifest import MANIFEST_FILE
from app.core.errors import BundleError, FetchFailed

CHUNK_BYTES = 1 << 20
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")

_MAX_MEMBERS = 10_000
# A RuntimeError: it is encrypted, or packed in a way that is not known.
_BROKEN = (OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


class Budget:
    """Bytes, of all files together, and seconds that are left; ``stopped`` gives the copy up."""

    def __init__(self, max_bytes: int, seconds: float, stopped: threading.Event | None = None) -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._stopped = stopped or threading.Event()

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def check(self) -> None:
        """Raise FetchFailed when time is up, or the server is ending."""
        if self._stopped.is_set():
            raise FetchFailed("the copy was given up, since the server ends")
        if not self.seconds_left:
            raise FetchFailed(f"copying took longer than {self._seconds:g} s")

    def wait(self, seconds: float) -> None:
        self._stopped.wait(min(seconds, self.seconds_left))
        self.check()

    def spend(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass pieces on while there is room and time; then raise FetchFailed."""
        for piece in pieces:
            self.check()
            self._left -= len(piece)
            if self._left < 0:
                raise FetchFailed(f"the bundle is larger than {self._max_bytes} bytes")
            yield piece


Origin = Callable[[str], Iterator[bytes]]
"""Reads one file of a bundle, by its plain name, in pieces; raises FetchFailed."""


def _folder_origin(folder: Path) -> Origin:
    def read(name: str) -> Iterator[bytes]:
        try:
            with (folder / name).open("rb") as file:
                yield from _pieces(file)
        except OSError as error:
            raise FetchFailed(f"cannot read {name}: {error.strerror}") from error

    return read


@contextlib.contextmanager
def _intact(part: str = "") -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise FetchFailed(f"the archive cannot be read{part}: {error}") from error


def _archive_origin(names: Collection[str], open_member: Callable[[str], IO[bytes] | None]) -> Origin:
    """Of an archive with one bundle in it, at any depth."""
    roots = [name[: -len(MANIFEST_FILE)] for name in names if name.rpartition("/")[2] == MANIFEST_FILE]
    if len(roots) != 1:
        raise BundleError(f"the archive must hold one {MANIFEST_FILE}, and has {len(roots)}")
    (root,) = roots

    def read(name: str) -> Iterator[bytes]:
        if "/" in name or root + name not in names:
            raise FetchFailed(f"there is no {name} in the archive")
        with _intact(f", at {name}"):
            file = open_member(root + name)
            if file is None:
                raise FetchFailed(f"cannot read {name} in the archive: it is no file")
            with file:
                yield from _pieces(file)

    return read


def _regular_members(archive: tarfile.TarFile, max_bytes: int) -> dict[str, tarfile.TarInfo]:
    """By name, without links, which are not followed."""
    found: dict[str, tarfile.TarInfo] = {}
    size = 0
    with _intact():
        for number, info in enumerate(archive):
            # To get behind a member means to unpack it, so its size counts before that.
            size += info.size
            if number >= _MAX_MEMBERS or size > max_bytes:
                raise FetchFailed(
                    f"the archive has more than {_MAX_MEMBERS} members or {max_bytes} bytes in them"
                )
            if info.isreg():
                found[info.name] = info
    return found


@contextlib.contextmanager
def local_origin(path: Path, max_bytes: int) -> Iterator[Origin]:
    """The bundle in a folder or an archive, which may hold ``max_bytes``.

    Raises:
        BundleError: there is none.
        FetchFailed: the archive is damaged, or holds too much.
    """
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            raise BundleError(f"{str(path)!r} holds no bundle: there is no {MANIFEST_FILE} in it")
        yield _folder_origin(path)
    elif not path.is_file():
        raise BundleError(f"there is no {str(path)!r}")
    elif tarfile.is_tarfile(path):  # first, since a tar file that ends with a bundle's npz looks like a zip
        with tarfile.open(path, "r:*") as archive:
            members = _regular_members(archive, max_bytes)
            yield _archive_origin(members, lambda name: archive.extractfile(members[name]))
    elif zipfile.is_zipfile(path):
        with _intact():
            zipped = zipfile.ZipFile(path)
        with zipped:
            names = [info.filename for info in zipped.infolist()[:_MAX_MEMBERS] if not info.is_dir()]
            yield _archive_origin(names, zipped.open)
    else:
        raise BundleError(f"{str(path)!r} is no folder, no zip file and no tar file")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece
