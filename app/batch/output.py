"""Where answers are written: a folder of parts, or the parts joined to one file.

    OUT/            part-00000.csv, part-00001.csv, ..., then _SUCCESS      a folder, read as one table
    OUT.csv         the same parts in .OUT.csv.parts/, joined at the end    one file

A part is written under another name and renamed, so that it is there as a whole or not at all; then its
note is, which says that it is done, and how many bytes it has: a machine that lost its power may have kept
the one without the other. The whole is on the disk before the parts go. What begins with an underscore is no
table, as Spark, Dask and pyarrow have it.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.batch.answering import Answered
from app.batch.arrow import arrow, join_parquet, write_parquet
from app.batch.place import is_remote, sent
from app.batch.row_file import SUFFIXES
from app.core.errors import ConfigurationError
from app.tasks.batch import Kind, Reject

SUCCESS = "_SUCCESS"
_JOB = "_job.json"
_REJECTS = "rejects.csv"
_QUOTED = frozenset(',"\r\n')
_COPIED = 1 << 20


@dataclass(frozen=True, slots=True)
class Note:
    """Of a part that is done."""

    num_items: int
    num_rows: int
    rejects: list[Reject]


class Output:
    """``kind`` is the format of a folder's parts; a file's suffix says its own. Raises ConfigurationError."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.remote = is_remote(path)
        self.is_folder = path.is_dir() or not path.suffix
        self._suffix = f".{kind}" if self.is_folder else path.suffix.lower()
        if self._suffix not in SUFFIXES:
            raise ConfigurationError(
                f"--out is {str(path)!r}; it must end in one of {', '.join(SUFFIXES)}, or name a folder"
            )
        self.kind = SUFFIXES[self._suffix]
        if self.kind == "parquet":
            arrow(path)
        self.folder = path if self.is_folder else path.with_name(f".{path.name}.parts")
        self.rejects = path / f"_{_REJECTS}" if self.is_folder else path.with_name(f"{path.name}.{_REJECTS}")

    @property
    def job(self) -> Path:
        return self.folder / _JOB

    @property
    def complete(self) -> bool:
        """Whether a run has ended here."""
        return (self.path / SUCCESS).exists() if self.is_folder else self.path.exists()

    def clear(self) -> None:
        """Take away what an earlier run has written, and nothing else."""
        if self.folder.is_dir():
            for path in [
                *self.folder.glob("part-*"),
                *self.folder.glob("_part-*"),
                *self.folder.glob("_tmp-*"),
            ]:
                path.unlink()
            for name in (SUCCESS, _JOB):
                (self.folder / name).unlink(missing_ok=True)
        self.rejects.unlink(missing_ok=True)
        if not self.is_folder:
            self.path.unlink(missing_ok=True)

    @property
    def empty(self) -> bool:
        """Whether no part is done."""
        return next(self.folder.glob("_part-*.json"), None) is None

    def part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}{self._suffix}"

    def write(self, number: int, answered: Answered, kinds: Mapping[str, Kind]) -> None:
        """The part, and then its note, with the keys of its sequences."""
        if answered.num_rows:
            with replaced(self.part(number)) as path:
                if self.kind == "parquet":
                    write_parquet(path, answered.columns, kinds)
                else:
                    text = _csv if self.kind == "csv" else _json_lines
                    path.write_bytes(text(answered.columns, kinds))
        note = {
            "bytes": _size(self.part(number)),
            "items": answered.num_items,
            "rows": answered.num_rows,
            "rejects": answered.rejects,
            "keys": answered.keys,
        }
        with replaced(self._note(number)) as path:
            path.write_text(json.dumps(note))

    def note(self, number: int) -> Note | None:
        """``None`` where the part is not done."""
        try:
            said = json.loads(self._note(number).read_text())
        except (FileNotFoundError, ValueError):
            return None
        if said["bytes"] != _size(self.part(number)):
            return None
        return Note(said["items"], said["rows"], [Reject(*reject) for reject in said["rejects"]])

    def keys(self, number: int) -> list[str]:
        """Of the sequences of a part that is done."""
        keys: list[str] = json.loads(self._note(number).read_text())["keys"]
        return keys

    def finish(self, count: int, rejects: Sequence[tuple[str, Reject]]) -> None:
        """All ``count`` parts are done: show them as one table; ``rejects`` with the names of their files."""
        if rejects:
            with replaced(self.rejects) as path, path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["file", "line", "id", "reason"])
                writer.writerows(
                    (name, reject.line or None, reject.id, reject.reason) for name, reject in rejects
                )
        parts = [part for number in range(count) if (part := self.part(number)).exists()]
        if not self.is_folder:
            with replaced(self.path, durable=True) as path:
                if self.kind == "parquet":
                    join_parquet(parts, path)
                else:
                    _join_texts(parts, path, skip_header=self.kind == "csv")
            self.drop()
            return
        for pattern in ("_part-*", "_tmp-*"):
            for path in self.folder.glob(pattern):
                path.unlink()
        (self.path / SUCCESS).write_bytes(b"")

    def drop(self) -> None:
        """Take the folder of parts away."""
        for path in self.folder.iterdir():
            path.unlink()
        if not self.remote:
            self.folder.rmdir()

    def _note(self, number: int) -> Path:
        return self.folder / f"_part-{number:05d}.json"


@contextmanager
def replaced(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write to; what is there takes the place of ``path`` at the end, as a whole."""
    if is_remote(path):
        with sent(path) as here:
            yield here
        return
    # Of no other process, on whichever machine.
    written = path.with_name(f"_tmp-{secrets.token_hex(8)}-{path.name}")
    try:
        yield written
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    if durable:
        with written.open("rb") as file:
            os.fsync(file.fileno())
    written.replace(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _csv(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> bytes:
    header = ",".join(map(_quoted, columns))
    cells = [_WRITTEN[kinds[name]](values) for name, values in columns.items()]
    lines = map(",".join, zip(*cells, strict=True))
    return "\n".join([header, *lines, ""]).encode()


def _quoted(text: str) -> str:
    return text if _QUOTED.isdisjoint(text) else '"' + text.replace('"', '""') + '"'


class _Texts(dict[str | None, str]):
    """Each made once: many cells are alike."""

    def __missing__(self, text: str | None) -> str:
        made = self[text] = "" if text is None else _quoted(text)
        return made


_WRITTEN: dict[Kind, Callable[[Sequence[Any]], list[str]]] = {
    "text": lambda values: list(map(_Texts().__getitem__, values)),
    "number": lambda values: _numbers(values),
    "whole": lambda values: ["" if value is None else str(value) for value in values],
}


def _numbers(values: Sequence[Any]) -> list[str]:
    """As ``repr`` writes them, which orjson does four times as fast but for exponents."""
    text = orjson.dumps(values)[1:-1].decode()
    if "e" in text or "n" in text or not text:
        return ["" if value is None else repr(value) for value in values]
    return text.split(",")


def _json_lines(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> bytes:
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return b"".join(
        orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in rows
    )


def _join_texts(parts: Sequence[Path], path: Path, *, skip_header: bool) -> None:
    with path.open("wb") as joined:
        for place, part in enumerate(parts):
            with part.open("rb") as file:
                header = file.readline() if skip_header else b""
                if place == 0:
                    joined.write(header)
                while data := file.read(_COPIED):
                    joined.write(data)
