"""The files of an input, and how each is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.batch.arrow import ParquetRows
from app.batch.csv_file import CsvFile
from app.batch.json_file import JsonFile
from app.batch.place import below, troubles
from app.batch.row_file import SUFFIXES, Dialect, RowFile, in_file, unreadable
from app.core.errors import ConfigurationError, InvalidInput


@dataclass(frozen=True, slots=True)
class InputFile:
    """``name`` is its path below the input; ``stamp`` changes with what is in it."""

    name: str
    path: Path
    kind: str
    size: int
    stamp: int


def find_inputs(given: Path) -> list[InputFile]:
    """The files of a file or a folder, by name; hidden ones, and those with an underscore, are none.

    Raises:
        ConfigurationError: it does not exist, or has none, or one is in no format that is read.
    """
    allowed = ", ".join(SUFFIXES)
    try:
        paths = [given]
        if given.is_dir():
            found = (path for path in given.rglob("*") if path.is_file())
            paths = sorted(path for path in found if not _hidden(below(path, given)))
            if not paths:
                raise ConfigurationError(f"the folder {str(given)!r} has no files; read are {allowed}")
        files = []
        for path in paths:
            kind = SUFFIXES.get(path.suffix.lower())
            if kind is None:
                raise ConfigurationError(
                    f"{str(path)!r} is in no format that is read; allowed: {allowed}. Take it away, or put "
                    "an underscore before its name"
                )
            stat = path.stat()
            name = path.name if path == given else str(below(path, given))
            files.append(InputFile(name, path, kind, stat.st_size, stat.st_mtime_ns))
    except troubles() as error:
        raise unreadable(given, error) from error
    return files


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def open_rows(file: InputFile, size: int, encoding: str, dialect: Dialect | None = None) -> RowFile:
    """A file in parts of about ``size`` bytes.

    Raises:
        InvalidInput: it is not what its name says; the sentence begins with the name.
        ConfigurationError: it cannot be read, or needs a package that is missing.
    """
    try:
        if file.kind == "parquet":
            return ParquetRows(file.path, size, dialect)
        if file.kind == "jsonl":
            return JsonFile(file.path, size, dialect)
        return CsvFile(file.path, size, encoding, dialect)
    except InvalidInput as error:
        raise in_file(file.name, error) from error
    except troubles() as error:
        raise unreadable(file.path, error) from error
