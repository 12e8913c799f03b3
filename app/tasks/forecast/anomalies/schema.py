"""``POST /anomalies``: whole series in; what was expected of each value, how rare it is, and events, out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.core.schema import Answer
from app.tasks.forecast.schema import Coverage, SeriesRequest

DEFAULT_FALSE_ALARMS = 0.001
DEFAULT_LEVEL = 95.0
DEFAULT_GAP = 10
FalseAlarms = Annotated[
    float,
    Field(
        gt=0,
        le=0.1,
        description="share of the values of a series without anomalies that may be alarms",
    ),
]
IntervalLevel = Annotated[Coverage, Field(description="percent of the interval that comes with each value")]
Gap = Annotated[
    int, Field(ge=0, le=1_000_000, description="alarms at most so many steps apart are one event")
]


class AnomalyRequest(SeriesRequest):
    """Series, and how easily something is an alarm."""

    false_alarms: FalseAlarms = DEFAULT_FALSE_ALARMS
    level: IntervalLevel = DEFAULT_LEVEL
    gap: Gap = DEFAULT_GAP


class AnomaliesOfTable(AnomalyRequest):
    """Read from a table; ``notes`` say of a series, by its id, what was done to read it."""

    notes: dict[str, str]


class AnomalyEvent(Answer):
    """Alarms that belong together; steps count from 0."""

    first: int = Field(description="step of the first alarm")
    last: int
    start: str | None = Field(description="their times, where they are known")
    end: str | None
    alarms: int
    peak: int = Field(description="step of the rarest value; what follows is said of it")
    value: float
    expected: float
    score: float
    probability: float


class SeriesAnomalies(Answer):
    """Of one series; each list has one entry for each value, null where nothing can be said."""

    id: str | None = None
    freq: str | None = None
    season: int = Field(description="steps of the season that was used; 1 is none")
    timestamps: list[str] | None = Field(description="null without a start")
    values: list[float | None]
    expected: list[float | None] = Field(description="the median of what was forecast one step before")
    low: list[float | None]
    high: list[float | None]
    scores: list[float | None] = Field(description="as in sessions: in standard deviations, at most 8")
    probabilities: list[float | None] = Field(
        description="of a score as high, judged by the earlier ones of the series; 0.02 and above are common"
    )
    events: list[AnomalyEvent]


class AnomalyAnswer(Answer):
    """In the order of the series."""

    model: str
    false_alarms: float
    level: float
    series: list[SeriesAnomalies]
    notes: dict[str, str] = Field(description="what was done to read a table, by series or column")
