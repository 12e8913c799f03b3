"""Importing a file into a folder, and running what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle, read_bundle
from app.runtime.session import GraphSession
from training.importing.importer import import_model
from training.importing.options import parse_options


class Imported:
    """A bundle made of a file; ``lines`` are what the import said."""

    def __init__(self, model: Path, out: Path, **options: Any) -> None:
        self.lines: list[str] = []
        flags = {"model": model, "name": "foreign", "out": out, **options}
        self.folder = import_model(parse_options(flags, None), self.lines.append)
        self.bundle: Bundle = read_bundle(self.folder)
        self._session = GraphSession(self.bundle.graph, self.bundle.manifest)

    @property
    def said(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def run(self, steps: NDArray[Any], cuts: tuple[int, ...] = ()) -> NDArray[np.float32]:
        """Outputs ``[batch, time, total]`` of steps fed in pieces."""
        rows = np.repeat(self.bundle.start[None], len(steps), axis=0)
        pieces = []
        for piece in np.split(steps, cuts, axis=1):
            (outputs,), rows = self._session.run(np.ascontiguousarray(piece), rows, 0)
            pieces.append(outputs)
        return np.concatenate(pieces, axis=1)
