"""Tokens to text: stop strings, and text that is given out once it is certain."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from app.core.numbers import rounded
from app.core.sequence import StopRule, Token
from app.features.text import TextCodec
from app.tasks.decoded.schema import Alternative, TokenLogprob


def stop_strings(codec: TextCodec, stops: tuple[str, ...]) -> StopRule:
    """Over as soon as the text contains one of the strings; only what a match can span is kept."""
    decoded = codec.stream()
    longest = max(len(stop) for stop in stops)
    tail = ""

    def over(token: int) -> bool:
        nonlocal tail
        text = tail + decoded(token)
        tail = text[-longest:]
        return any(stop in text for stop in stops)

    return over


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Text that has become certain, or none; ``index`` is the position of its first token in the choice.

    ``logprobs`` are of the tokens whose text begins in it; ``None`` when they were not asked for.
    """

    text: str
    index: int
    logprobs: list[TokenLogprob] | None


class TextAssembler:
    """Tokens to text that ends before any stop string.

    Text that might be the beginning of a stop string is held back until it is certain.
    """

    def __init__(self, codec: TextCodec, stops: tuple[str, ...], *, logprobs: bool) -> None:
        self._codec = codec
        self._decoded = codec.stream()
        self._stops = stops
        self._held = ""
        self._waiting: deque[tuple[int, Token]] = deque()
        self._logprobs = logprobs
        self._stopped = False
        self._ends: list[tuple[int, int]] = []
        self._released_chars = 0
        self._released_tokens = 0

    @property
    def kept(self) -> list[int]:
        """The tokens whose text has been released in full."""
        return [token for end, token in self._ends if end <= self._released_chars]

    def push(self, tokens: list[Token], *, last: bool) -> Piece:
        """Add tokens and take what is certain; with ``last`` nothing follows, so nothing is held back."""
        for token in tokens:
            if self._stopped:
                break
            self._waiting.append((self._released_chars + len(self._held), token))
            self._held += self._decoded(token.id)
            self._ends.append((self._released_chars + len(self._held), token.id))
            if self._stops:
                self._cut()
        keep = self._possible_stop() if self._stops and not (last or self._stopped) else 0
        text = self._held[: len(self._held) - keep]
        self._held = self._held[len(text) :]
        self._released_chars += len(text)
        return self._piece(text, whole=last and not self._stopped)

    def _cut(self) -> None:
        found = [place for place in (self._held.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self._held = self._held[: min(found)]
            self._stopped = True

    def _possible_stop(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self._stops)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0

    def _piece(self, text: str, *, whole: bool) -> Piece:
        index = self._released_tokens
        released: list[tuple[int, Token]] = []
        # A last token may be a part of a character that nothing completes, and so without text.
        while self._waiting and (whole or self._waiting[0][0] < self._released_chars):
            released.append(self._waiting.popleft())
        self._released_tokens += len(released)
        return Piece(text, index, self._described(released) if self._logprobs else None)

    def _described(self, released: list[tuple[int, Token]]) -> list[TokenLogprob]:
        likely = [
            logprob
            for _, token in released
            for logprob in (token.logprob or 0.0, *(logprob for _, logprob in token.alternatives))
        ]
        values = iter(rounded(np.array(likely, np.float64)).tolist())
        return [
            TokenLogprob.made(
                token=self._codec.token(token.id),
                start=start,
                logprob=next(values),
                top=[
                    Alternative.made(token=self._codec.token(other), logprob=next(values))
                    for other, _ in token.alternatives
                ],
            )
            for start, token in released
        ]
