"""What a client says on a session socket, and what waits to be applied. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pydantic_core import from_json

from app.core.errors import InvalidInput
from app.sessions.socket_schema import MarkerMessage, SessionStepMessage, StepMessage, StepsMessage
from app.sessions.steps.calls import StepCall


@dataclass(frozen=True, slots=True)
class Marker:
    """To be sent back when all before it is answered."""

    text: str


Item = StepCall | Marker


def read_message(text: str, only: str | None) -> list[Item]:
    """The calls, or the marker, in a client's frame; ``only`` is the session of a socket for one."""
    try:
        document = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput("body", f"the message is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput("body", "a message is a JSON object with a type")
    kind = document.get("type")
    if kind == "marker":
        return [Marker(MarkerMessage.model_validate(document).marker)]
    if only is not None and kind == "step":
        step = StepMessage.model_validate(document)
        return [StepCall(only, step.inputs, step.seq)]
    if only is None and kind == "step":
        named = SessionStepMessage.model_validate(document)
        return [StepCall(named.id, named.inputs, named.seq)]
    if only is None and kind == "steps":
        steps = StepsMessage.model_validate(document).steps
        return [StepCall(step.id, step.inputs, step.seq) for step in steps]
    kinds = ["step", "marker"] if only is not None else ["step", "steps", "marker"]
    raise InvalidInput("type", f"a message on this socket has a type of {', '.join(kinds)}", allowed=kinds)


class SessionInbox:
    """Bounded; one message is always taken, so that any within the frame limit gets through."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        return len(self._items) >= self._max_items or self._bytes >= self._max_bytes

    def put(self, items: list[Item], size: int) -> None:
        self._items.extend(items)
        self._bytes += size

    def take(self, max_calls: int) -> list[Item]:
        """Everything that waits, up to so many calls."""
        taken: list[Item] = []
        calls = 0
        while self._items and calls < max_calls:
            taken.append(self._items.popleft())
            calls += isinstance(taken[-1], StepCall)
        if not self._items:
            self._bytes = 0
        return taken
