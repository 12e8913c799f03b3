"""Which models an administrator has unloaded: for one process, or for all workers of one server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from app.registry.install import write_whole
from app.registry.labels import changing


class UnloadedNames:
    """A set of names in a file that all workers share; without a path, in this process."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._names = frozenset(json.loads(self._path.read_bytes()))
        return self._names

    def add(self, name: str) -> None:
        with self._changing():
            self._write(self.names() | {name})

    def discard(self, name: str) -> None:
        with self._changing():
            self._write(self.names() - {name})

    def _changing(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self._path is None else changing(self._path.parent)

    def _write(self, names: frozenset[str]) -> None:
        self._names = names
        if self._path is not None:
            write_whole(self._path, json.dumps(sorted(names)).encode())


@dataclass(frozen=True, slots=True)
class Siblings:
    """What a worker and the others tell each other."""

    unloaded: UnloadedNames
    tell: Callable[[], None]
    """Asks the others to look at it; they do soon after."""
    started: Callable[[], bool] = lambda: True
    """Whether every worker has been ready once."""
    ahead: Callable[[int], bool] = lambda num_open: False
    """Told how many connections this one has: whether another has fewer."""
