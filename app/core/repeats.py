"""Which tokens would say again what a sequence has said: n-grams that must not come twice."""

from __future__ import annotations

from collections.abc import Iterable


class Repeats:
    """The n-grams of one sequence of tokens, found by all of their tokens but the last.

    A question and a new token take the same time at any length.
    """

    __slots__ = ("_followed", "_last", "_size")

    def __init__(self, size: int, tokens: Iterable[int] = ()) -> None:
        self._size = size
        self._last: tuple[int, ...] = ()  # size - 1 of them, once there are so many
        self._followed: dict[tuple[int, ...], tuple[int, ...]] = {}
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        last = self._last
        if len(last) < self._size - 1:
            self._last = (*last, token)
            return
        before = self._followed.get(last, ())
        if token not in before:
            self._followed[last] = (*before, token)
        self._last = (*last, token)[1:]

    def next(self) -> tuple[int, ...]:
        """Tokens that would end an n-gram which is there already."""
        return self._followed.get(self._last, ())

    def copy(self) -> Repeats:
        other = Repeats(self._size)
        other._last, other._followed = self._last, self._followed.copy()
        return other
