"""The life of a session as a table: {state: {event: state}}.

A session that has ended stays as a tombstone for a while, so that its client learns when, why
and after which step, instead of "unknown".
"""

from __future__ import annotations

from enum import Enum


class SessionState(Enum):
    """Where a session is in its life."""

    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"


class SessionEvent(Enum):
    """What can happen to a session."""

    STEP = "step"
    REWIND = "rewind"
    MIGRATE = "migrate"
    SNAPSHOT = "snapshot"
    CLOSE = "close"
    EXPIRE = "expire"


TRANSITIONS: dict[SessionState, dict[SessionEvent, SessionState]] = {
    SessionState.OPEN: {
        SessionEvent.STEP: SessionState.OPEN,
        SessionEvent.REWIND: SessionState.OPEN,
        SessionEvent.MIGRATE: SessionState.OPEN,
        SessionEvent.SNAPSHOT: SessionState.OPEN,
        SessionEvent.CLOSE: SessionState.CLOSED,
        SessionEvent.EXPIRE: SessionState.EXPIRED,
    },
    SessionState.CLOSED: {},
    SessionState.EXPIRED: {},
}


class IllegalTransition(Exception):
    """An event that a state does not know; names both. Nothing has changed."""

    def __init__(self, state: SessionState, event: SessionEvent) -> None:
        super().__init__(f"a session that is {state.value} knows no {event.value}")
        self.state = state
        self.event = event


def next_state(state: SessionState, event: SessionEvent) -> SessionState:
    """The state after ``event``.

    Raises:
        IllegalTransition: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(state, event) from None
