"""Which models an administrator has unloaded: for one process, or for all workers of one server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


class UnloadedNames:
    """A set of names that all workers share.

    Args:
        path: of the file that they share; ``None`` keeps the set in this process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        """The names now."""
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._names = frozenset(json.loads(self._path.read_bytes()))
        return self._names

    def add(self, name: str) -> None:
        """Unload a model everywhere."""
        with self._changing():
            self._write(self.names() | {name})

    def discard(self, name: str) -> None:
        """Let it be served again."""
        with self._changing():
            self._write(self.names() - {name})

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, names: frozenset[str]) -> None:
        self._names = names
        if self._path is not None:
            staged = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            staged.write_text(json.dumps(sorted(names)))
            staged.replace(self._path)


@dataclass(frozen=True, slots=True)
class Siblings:
    """What a worker and the others tell each other.

    Attributes:
        unloaded: which they share.
        tell: asks the others to look at it; they do soon after.
        started: whether every worker has been ready once.
    """

    unloaded: UnloadedNames
    tell: Callable[[], None]
    started: Callable[[], bool] = lambda: True
