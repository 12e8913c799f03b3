"""``POST /sessions/{id}/forecast``: what lies ahead of the last observation of a session."""

from __future__ import annotations

from pydantic import Field

from app.core.errors import InvalidInput
from app.core.schema import Answer, Request
from app.tasks.forecast.model import ForecastModel
from app.tasks.forecast.schema import Coverage, Forecast, Level
from app.tasks.session import SessionAction, SessionView


class ForecastFromState(Request):
    """What lies ahead of the last observation."""

    horizon: int = Field(ge=1, le=2**31 - 1)
    quantiles: list[Level] | None = Field(default=None, min_length=1, max_length=99)
    levels: list[Coverage] | None = Field(default=None, min_length=1, max_length=49)


class SessionForecast(Answer):
    """The forecast of a session."""

    model: str
    step: int
    forecast: Forecast


def _look(model: ForecastModel, view: SessionView, request: ForecastFromState) -> SessionForecast:
    if view.last is None:
        raise InvalidInput("id", f"session {view.id!r} has no observation yet; feed it at least one")
    following = model.session.following(view.context)
    forecast = model.present(request, view.id, following, view.last)
    return SessionForecast.model_construct(model=view.model, step=view.step, forecast=forecast)


FORECAST = SessionAction(
    name="forecast",
    request=ForecastFromState,
    answer=SessionForecast,
    doc="What lies ahead of the last observation. Nothing is run, and the session stays as it is.",
    examples={"ahead": {"summary": "Six steps", "value": {"horizon": 6, "levels": [80]}}},
    look=_look,
    lacking="does not forecast",
)
