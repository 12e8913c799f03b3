"""Where the files of one bundle come from, a folder or an archive, and what copying them may cost.

An origin is asked for files by the plain names that a manifest lists, and for nothing else, so
that no path in an archive is ever followed or created.
"""

from __future__ import annotations

import contextlib
import lzma
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from app.bundle.manifest import MANIFEST_FILE
from app.core.errors import BundleError, FetchFailed

CHUNK_BYTES = 1 << 20
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")

_MAX_MEMBERS = 10_000
_BROKEN = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


class Budget:
    """Bytes and seconds that are left, checked at every piece.

    Args:
        max_bytes: of all files together.
        seconds: from now.
        stopped: set when nobody needs the copy any more.
    """

    def __init__(self, max_bytes: int, seconds: float, stopped: threading.Event | None = None) -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._stopped = stopped or threading.Event()

    @property
    def seconds_left(self) -> float:
        """Never below zero."""
        return max(0.0, self._until - time.monotonic())

    def check(self) -> None:
        """Refuse to go on when time is up.

        Raises:
            FetchFailed: it is, or the server is ending.
        """
        if self._stopped.is_set():
            raise FetchFailed("the copy was given up, since the server ends")
        if not self.seconds_left:
            raise FetchFailed(f"copying took longer than {self._seconds:g} s")

    def wait(self, seconds: float) -> None:
        """Pause, no longer than there is time."""
        self._stopped.wait(min(seconds, self.seconds_left))
        self.check()

    def spend(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass pieces on while there is room and time.

        Raises:
            FetchFailed: there is none.
        """
        for piece in pieces:
            self.check()
            self._left -= len(piece)
            if self._left < 0:
                raise FetchFailed(f"the bundle is larger than {self._max_bytes} bytes")
            yield piece


class Origin(Protocol):
    """The files of one bundle."""

    def read(self, name: str) -> Iterator[bytes]:
        """A file in pieces.

        Raises:
            FetchFailed: there is no such file, or it cannot be read.
        """
        ...


class FolderOrigin:
    """A bundle's folder on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Iterator[bytes]:
        try:
            with (self._folder / name).open("rb") as file:
                yield from _pieces(file)
        except OSError as error:
            raise FetchFailed(f"cannot read {name}: {error.strerror}") from error


class ZipOrigin:
    """A zip file with one bundle in it, at any depth."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        names = [one.filename for one in archive.infolist()[:_MAX_MEMBERS] if not one.is_dir()]
        self._members = _bundle_in(names)

    def read(self, name: str) -> Iterator[bytes]:
        try:
            with self._archive.open(_member(self._members, name)) as file:
                yield from _pieces(file)
        except (*_BROKEN, RuntimeError, NotImplementedError) as error:  # encrypted, or packed otherwise
            raise FetchFailed(f"cannot read {name} in the archive: {error}") from error


class TarOrigin:
    """A tar file, compressed or not, with one bundle in it, at any depth. Links are not followed."""

    def __init__(self, archive: tarfile.TarFile, max_bytes: int) -> None:
        self._archive = archive
        self._infos: dict[str, tarfile.TarInfo] = {}
        size = 0
        try:
            for number, info in enumerate(archive):
                # To get behind a member means to unpack it, so its size counts before that.
                size += info.size
                if number >= _MAX_MEMBERS or size > max_bytes:
                    raise FetchFailed(
                        f"the archive has more than {_MAX_MEMBERS} members or {max_bytes} bytes in them"
                    )
                if info.isreg():
                    self._infos[info.name] = info
        except _BROKEN as error:
            raise FetchFailed(f"the archive cannot be read: {error}") from error
        self._members = _bundle_in(list(self._infos))

    def read(self, name: str) -> Iterator[bytes]:
        try:
            file = self._archive.extractfile(self._infos[_member(self._members, name)])
            if file is None:
                raise FetchFailed(f"cannot read {name} in the archive: it is no file")
            with file:
                yield from _pieces(file)
        except _BROKEN as error:
            raise FetchFailed(f"cannot read {name} in the archive: {error}") from error


@contextlib.contextmanager
def local_origin(path: Path, max_bytes: int) -> Iterator[Origin]:
    """The bundle in a folder or an archive.

    Args:
        path: of either.
        max_bytes: of what an archive holds.

    Raises:
        BundleError: there is none.
        FetchFailed: the archive is damaged, or holds too much.
    """
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            raise BundleError(f"{str(path)!r} holds no bundle: there is no {MANIFEST_FILE} in it")
        yield FolderOrigin(path)
    elif not path.is_file():
        raise BundleError(f"there is no {str(path)!r}")
    elif tarfile.is_tarfile(path):  # first, since a tar file that ends with a bundle's npz looks like a zip
        with tarfile.open(path, "r:*") as archive:
            yield TarOrigin(archive, max_bytes)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            yield ZipOrigin(zipped)
    else:
        raise BundleError(f"{str(path)!r} is no folder, no zip file and no tar file")


def _bundle_in(names: list[str]) -> dict[str, str]:
    """Plain file names to members, of the one folder that has a manifest."""
    roots = [name[: -len(MANIFEST_FILE)] for name in names if _last(name) == MANIFEST_FILE]
    if len(roots) != 1:
        raise BundleError(f"the archive must hold one {MANIFEST_FILE}, and has {len(roots)}")
    (root,) = roots
    inside = [name for name in names if name.startswith(root) and "/" not in name[len(root) :]]
    return {name[len(root) :]: name for name in inside}


def _member(members: dict[str, str], name: str) -> str:
    try:
        return members[name]
    except KeyError:
        raise FetchFailed(f"there is no {name} in the archive") from None


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece
