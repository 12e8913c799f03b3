"""A session service under test: real engines on tiny bundles, a store in memory, a clock set by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from app.core.errors import RnnserveError
from app.sessions.limits import SessionLimits
from app.sessions.schema import CreateSession
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.sessions.stores.memory import MemoryStore
from app.tasks.forecast.schema import ForecastFromState, SessionForecast
from app.tasks.forecast.task import FORECAST
from tests.fakes import FakeClock
from tests.rig import Rig

LIMITS = SessionLimits(
    session_ttl_s=100,
    session_max_ttl_s=1000,
    session_tombstone_s=50,
    session_max_call_steps=40,
    session_max_snapshots=2,
    session_keep_automatic=2,
    session_snapshot_every=5,
)


@dataclass
class Bench:
    """A session service under test and what is below it."""

    rig: Rig
    store: MemoryStore
    clock: FakeClock
    service: SessionService

    async def step(self, id: str, inputs: Any, seq: int | None = None) -> dict[str, Any]:
        """One call; raises what it failed with."""
        (outcome,) = await self.service.steps([StepCall(id, inputs, seq)])
        if isinstance(outcome, RnnserveError):
            raise outcome
        answer: dict[str, Any] = orjson.loads(outcome)
        return answer


def opened(model: str, **more: Any) -> CreateSession:
    """A request for a session."""
    return CreateSession(model=model, **more)


async def looked(service: SessionService, id: str, request: ForecastFromState) -> SessionForecast:
    """What a session forecasts."""
    return SessionForecast.model_validate_json(await service.actions.answer(id, FORECAST, request))
