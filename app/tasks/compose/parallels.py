"""Voices kept from moving in parallel fifths and octaves, which part writing forbids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.tasks.compose.music import Layout

_OCTAVE = 12
_FORBIDDEN = (0, 7)
"""Octaves and fifths, in semitones, octaves apart or not."""


class Parallels:
    """Hears the tokens of one stream, see :class:`app.core.sequence.StopRule`; tells what is not to follow.

    Two voices are parallel where both move the same way, from fifth to fifth or from octave to octave.

    Args:
        layout: of the stream.
        given: ``[(steps + lead) * voices]``, its tokens, -1 where one is drawn. Those to come are heeded too.
    """

    def __init__(self, layout: Layout, given: NDArray[np.int64]) -> None:
        self._layout = layout
        self._tokens: list[int] = given.tolist()
        self._place = 0
        self._avoided = self._parallel()

    def __call__(self, token: int) -> bool:
        self._tokens[self._place] = token
        self._place += 1
        self._avoided = self._parallel()
        return False

    def avoided(self) -> list[int]:
        return self._avoided

    def _parallel(self) -> list[int]:
        """Tokens that would make the next voice parallel to another. A rest never is."""
        layout, voices = self._layout, self._layout.voices
        row, voice = divmod(self._place, voices)
        own = self._pitch(row - 1, voice)
        if own is None:
            return []
        found = []
        for other in range(voices):
            at = row + layout.lead * (bool(other) - bool(voice))
            before, now = self._pitch(at - 1, other), self._pitch(at, other)
            if other == voice or before is None or now is None or before == now:
                continue
            interval = abs(own - before) % _OCTAVE
            if interval in _FORBIDDEN:
                along = range(own + 1, layout.high + 1) if now > before else range(layout.low, own)
                found += [layout.token(pitch) for pitch in along if abs(pitch - now) % _OCTAVE == interval]
        return found

    def _pitch(self, row: int, voice: int) -> int | None:
        """None for what is a rest, outside of the piece, or not known yet."""
        place = row * self._layout.voices + voice
        known = 0 <= place < len(self._tokens)
        return self._layout.pitch(self._tokens[place]) if known else None
