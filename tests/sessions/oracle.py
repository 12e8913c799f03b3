"""What a session must be: a serial run of what it was fed, one token at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.bundle.reader import read_bundle
from app.features.text import TextCodec
from app.runtime.session import GraphSession
from tests.bundles import LETTERS
from training.tokenizers import character_tokenizer

Fed = tuple[tuple[str, int], ...]
"""What a session was fed: (model, token), oldest first."""


class Oracle:
    """Serial runs, one token at a time, remembered by what was fed."""

    def __init__(self, folder: Path) -> None:
        bundles = {f"tiny-text@{version}": read_bundle(folder / "tiny-text" / version) for version in "12"}
        self._sessions = {name: GraphSession(one.graph, one.manifest) for name, one in bundles.items()}
        self._starts = {name: one.start[None] for name, one in bundles.items()}
        self._rows: dict[Fed, np.ndarray] = {}

    def row(self, fed: Fed) -> bytes:
        """The state after a list."""
        return self._row(fed).tobytes()

    def _row(self, fed: Fed) -> np.ndarray:
        if fed not in self._rows:
            model, token = fed[-1]
            before = self._row(fed[:-1]) if len(fed) > 1 else self._starts[model]
            self._rows[fed] = self._sessions[model].run(np.array([[token]]), before, 1)[1]
        return self._rows[fed]


def tokens_of(text: str) -> list[int]:
    """Ids of characters of the tiny alphabet."""
    return TextCodec(character_tokenizer([LETTERS])).encode(text)
