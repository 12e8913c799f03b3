"""A session service whose answers are obvious, and which can fail or be held up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from app.core.errors import RnnserveError, SequenceConflict, UnknownSession
from app.edge.edge import SessionEdge
from app.sessions.limits import SessionLimits
from app.sessions.schema import SessionInfo
from app.sessions.steps.calls import StepCall


class FakeSessions:
    """Every session exists and is at the number of calls that were applied to it.

    Attributes:
        error: raised by every call.
        refuse: the outcome of calls with these inputs.
        gate: steps wait for it.
        batches: how many calls came together, each time.
        endings: what :meth:`expiries` says of a session; others live on for an hour.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.refuse: dict[str, RnnserveError] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.applied: dict[str, int] = {}
        self.endings: dict[str, RnnserveError] = {}
        self.healthy = True
        self.looked_up = 0
        self.actions = SimpleNamespace(answer=self._act)
        self.clock = time.time

    async def _act(self, id: str, action: object, body: object, owner: str = "") -> bytes:
        if self.error is not None:
            raise self.error
        return b"{}"

    def edge(self, **limits: Any) -> SessionEdge:
        """Itself, as routes see it."""
        trouble = "the session store does not answer"
        return SessionEdge(self, SessionLimits(**limits), lambda: None if self.healthy else trouble)  # type: ignore[arg-type]  # it answers the same calls

    async def view(self, id: str, owner: str = "") -> SessionInfo:
        """Where it is."""
        if self.error is not None:
            raise self.error
        if id == "nobody":
            raise UnknownSession(id)
        step = self.applied.get(id, 0)
        return SessionInfo.model_construct(
            id=id,
            model="fake@1",
            task="forecast",
            step=step,
            created_at="",
            updated_at="",
            expires_at="",
            metadata={},
        )

    async def steps(
        self, calls: Sequence[StepCall], owner: str = "", clock: object = None
    ) -> list[bytes | RnnserveError]:
        """One step each."""
        self.batches.append(len(calls))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [self._step(call) for call in calls]

    async def expiries(self, ids: Sequence[str], owner: str = "") -> list[float | RnnserveError]:
        """When each ends."""
        self.looked_up += len(ids)
        return [self.endings.get(id, time.time() + 3600) for id in ids]

    def _step(self, call: StepCall) -> bytes | RnnserveError:
        refused = self.refuse.get(str(call.inputs))
        if refused is not None:
            return refused
        due = self.applied.get(call.id, 0) + 1
        if call.seq not in (None, due):
            return SequenceConflict("no", due - 1)
        self.applied[call.id] = due
        answer = {"seq": due, "step": due, "outputs": [{"value": call.inputs}]}
        return json.dumps(answer, separators=(",", ":")).encode()
