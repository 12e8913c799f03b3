"""The WebSocket protocol of a task that streams, as a table: what may happen when, and what follows.

idle --request--> running --ended--> idle
                  running --stop--> stopping --ended--> idle
a drain lets the running stream end, then closes; anything may be lost at any time
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel
from pydantic_core import from_json

from app.core.errors import InvalidInput
from app.core.schema import Request


class StopMessage(Request):
    """What a client sends to end a running stream early."""

    type: Literal["stop"]


class State(Enum):
    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    """The client asked for the end; the rest of the text and the done frame are still to come."""
    LAST = "last"
    """The server is shutting down; the running generation is the last."""
    CLOSED = "closed"


class Event(Enum):
    REQUEST = "request"
    STOP = "stop"
    ENDED = "ended"
    """The running generation sent its done or error frame."""
    DRAIN = "drain"
    LOST = "lost"
    """The connection is over, whoever ended it."""


TABLE: dict[State, dict[Event, State]] = {
    State.IDLE: {
        Event.REQUEST: State.RUNNING,
        # A stop that crosses the done frame on its way comes too late, and that is no mistake.
        Event.STOP: State.IDLE,
        Event.DRAIN: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.RUNNING: {
        Event.STOP: State.STOPPING,
        Event.ENDED: State.IDLE,
        Event.DRAIN: State.LAST,
        Event.LOST: State.CLOSED,
    },
    State.STOPPING: {
        Event.STOP: State.STOPPING,
        Event.ENDED: State.IDLE,
        Event.DRAIN: State.LAST,
        Event.LOST: State.CLOSED,
    },
    State.LAST: {
        Event.STOP: State.LAST,
        Event.ENDED: State.CLOSED,
        Event.DRAIN: State.LAST,
        Event.LOST: State.CLOSED,
    },
    State.CLOSED: {
        Event.ENDED: State.CLOSED,
        Event.DRAIN: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
}

_REFUSED = {
    State.RUNNING: "a generation is running on this socket; wait for its done frame, or send a stop first",
    State.LAST: "the server is shutting down; this socket takes no further request",
}


class Conversation:
    def __init__(self) -> None:
        self.state = State.IDLE

    def on(self, event: Event) -> State:
        """The state that follows; raises InvalidInput when the client may not send this now."""
        following = TABLE[self.state].get(event)
        if following is None:
            message = _REFUSED.get(self.state, f"{event.value} is not possible when {self.state.value}")
            raise InvalidInput("message", message)
        self.state = following
        return following


def read_message(text: str, request: type[BaseModel]) -> BaseModel:
    """What a client's frame says: a :class:`StopMessage`, or a request of this class."""
    if '"type"' in text:
        document = _document(text)
        if isinstance(document, dict) and "type" in document:
            if document["type"] != "stop":
                raise InvalidInput(
                    "type",
                    "the only message with a type is stop; a request for text has none",
                    allowed=["stop"],
                )
            return StopMessage.model_validate(document)
    return request.model_validate_json(text)


def _document(text: str) -> object:
    try:
        return from_json(text)
    except ValueError:
        return None
