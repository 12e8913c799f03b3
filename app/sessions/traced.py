"""The session resource while spans are wanted: a step call shows in its trace what its group did."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.sessions.record import store_key
from app.sessions.service import SessionService
from app.sessions.steps.calls import Outcome, StepCall, StepClock


class StepTracer(Protocol):
    """Whoever makes spans; see ``app.telemetry.tracing``."""

    def waiting(self, keys: Sequence[str]) -> AbstractContextManager[None]:
        """In the block the current request waits for what is done to these sessions."""
        ...


class TracedSessionService(SessionService):
    """Stands in for :class:`SessionService`.

    Args:
        tracing: makes the spans.
        arguments: those of a session service.
        named: likewise.
    """

    def __init__(self, tracing: StepTracer, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._tracing = tracing

    async def steps(
        self, calls: Sequence[StepCall], owner: str = "", clock: StepClock | None = None
    ) -> list[Outcome]:
        """See :meth:`SessionService.steps`."""
        with self._tracing.waiting([store_key(call.id, owner) for call in calls]):
            return await super().steps(calls, owner, clock)
