"""Spans of work that several requests share: each gets its own copy, with the times of the whole.

Step calls that wait at the same time are read, run and written as one group, in a task that
belongs to none of their requests. What the group did is noted, and told to the requests when it has
been written, which is when they are found: by the sessions that were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Attributes = dict[str, str | int | float]

# A task that reads for ever and never writes must not collect for ever.
_MOST_NOTES = 16


@dataclass(frozen=True, slots=True)
class Note:
    """One piece of a group's work; times are Unix time in nanoseconds."""

    name: str
    began: int
    ended: int
    attributes: Attributes


_notes: ContextVar[list[Note] | None] = ContextVar("group_notes", default=None)


class SharedSpans:
    """Who waits for which session, and what the groups did.

    Args:
        tracer: makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._waiting: dict[str, list[Span]] = {}

    @contextmanager
    def waiting(self, keys: Iterable[str], span: Span) -> Iterator[None]:
        """In the block a request waits for the sessions under ``keys``."""
        mine = frozenset(keys)
        for key in mine:
            self._waiting.setdefault(key, []).append(span)
        try:
            yield
        finally:
            for key in mine:
                others = self._waiting[key]
                others.remove(span)
                if not others:
                    del self._waiting[key]

    def open(self) -> list[Note]:
        """The notes of the present task, which callbacks that it leaves behind share."""
        notes = _notes.get()
        if notes is None:
            notes = []
            _notes.set(notes)
        return notes

    def note(self, note: Note) -> None:
        """Something was done for whoever will be found."""
        notes = self.open()
        notes.append(note)
        del notes[:-_MOST_NOTES]

    def tell(self, keys: Iterable[str]) -> None:
        """The sessions under ``keys`` were written: everything noted becomes spans of who waits for them."""
        from opentelemetry.trace import set_span_in_context

        notes = self.open()
        spans = {id(span): span for key in keys for span in self._waiting.get(key, ())}
        for span in spans.values():
            context = set_span_in_context(span)
            for note in notes:
                self._tracer.start_span(
                    note.name, context=context, start_time=note.began, attributes=note.attributes
                ).end(note.ended)
        notes.clear()
