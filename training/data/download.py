"""Finding data files: in a folder of the user's, or downloaded once into a cache; always verified.

``DataStore.file("language_modelling/names/names.txt")`` is the whole interface: a path goes in,
a path to a file with the recorded content comes out.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import Source
from app.core.errors import DataError
from training.data.catalogue import CATALOGUE, find_file
from training.data.content import content_sha256
from training.data.data_set import DataFile, DataSet
from training.data.fetch import fetch

DATA_VARIABLE = "RNNSERVE_DATA"
_CACHE = Path("~/.cache/rnnserve/data")


@dataclass(frozen=True, slots=True)
class DataStore:
    """Where the public data sets are.

    Attributes:
        folder: holds the files under their catalogue paths, or will once they are downloaded.
        may_download: whether a missing file is fetched.
    """

    folder: Path
    may_download: bool

    @staticmethod
    def open(folder: Path | None = None) -> DataStore:
        """The folder given, else the one ``RNNSERVE_DATA`` names, else the download cache.

        Raises:
            DataError: the folder given does not exist.
        """
        named = folder or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
        if named is None:
            return DataStore.cache()
        if not named.is_dir():
            raise DataError(f"the data folder {str(named)!r} does not exist")
        return DataStore(named, may_download=False)

    @staticmethod
    def cache() -> DataStore:
        """The download cache in the user's home."""
        return DataStore(_CACHE.expanduser(), may_download=True)

    def file(self, path: str) -> Path:
        """A verified local copy of the catalogue's file ``path``.

        Raises:
            DataError: it is missing, cannot be fetched, or has another content than recorded.
        """
        data_set, entry = find_file(path)
        local = self.folder / path
        if not local.is_file():
            if not self.may_download:
                raise DataError(
                    f"{path} is not in the data folder; leave out --data and {DATA_VARIABLE} to download it, "
                    f"or get {data_set.name} from {data_set.home}"
                )
            fetch(entry, local)
        else:
            _verify(entry, local)
        return local

    def source(self, path: str) -> Source:
        """What a manifest records of the file ``path``: the copy in the folder, fetched if need be.

        Raises:
            DataError: as :meth:`file` does.
        """
        data_set, entry = find_file(path)
        local = self.folder / path
        digest = hashlib.sha256((local if local.is_file() else self.file(path)).read_bytes()).hexdigest()
        return Source(name=path, sha256=digest, url=entry.url or data_set.home, licence=data_set.licence)

    def download(self, names: list[str]) -> list[Path]:
        """Every file of the named data sets.

        Raises:
            DataError: a name is unknown, or as :meth:`file` does.
        """
        unknown = [name for name in names if name not in CATALOGUE]
        if unknown:
            raise DataError(f"unknown data set {unknown[0]!r}; allowed: {', '.join(CATALOGUE)}")
        chosen: list[DataSet] = [CATALOGUE[name] for name in names] if names else list(CATALOGUE.values())
        return [self.file(entry.path) for data_set in chosen for entry in data_set.files]


def _verify(entry: DataFile, local: Path) -> None:
    if content_sha256(local) != entry.content:
        raise DataError(
            f"{entry.path} in the data folder is not the file this recipe was written for: "
            f"the sha256 of its content is not {entry.content}"
        )
