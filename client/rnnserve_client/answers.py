"""The answers of the server's tasks, as type checkers see them: at run time they are the JSON that came.

A task that is not here answers with a plain ``dict``; see :meth:`rnnserve_client.Client.answer`.
"""

from typing import Any, Literal, NotRequired, TypedDict

FinishReason = Literal["length", "stop", "stopped"]


class Forecast(TypedDict):
    """Of one series; each list has one entry per step ahead. ``timestamps`` is null without a start.

    ``season``, ``long_season``, ``freq``, ``min`` and ``max`` are what was used; ``paths`` and ``samples``
    come where sample paths were drawn, and asked for.
    """

    id: str | None
    timestamps: list[str] | None
    mean: list[float]
    quantiles: dict[str, list[float]]
    season: int
    long_season: int
    freq: str | None
    min: float | None
    max: float | None
    paths: NotRequired[int]
    samples: NotRequired[list[list[float]]]


class ForecastAnswer(TypedDict):
    """Forecasts in the order of the series; ``notes`` tell of those whose times were moved to be read."""

    model: str
    forecasts: list[Forecast]
    notes: NotRequired[dict[str, str]]


class SessionForecast(TypedDict):
    """What lies ahead of a session's last observation."""

    model: str
    step: int
    forecast: Forecast


class TracePoint(TypedDict):
    """The verdict after one more token; ``start`` and ``end`` are character offsets."""

    token: str
    start: int
    end: int
    scores: dict[str, float]


class SentimentResult(TypedDict):
    """The verdict on one text; ``score`` is the probability of ``label``."""

    label: str
    score: float
    scores: dict[str, float]
    trace: list[TracePoint] | None
    warning: NotRequired[str]


class SentimentAnswer(TypedDict):
    """Verdicts in the order of the texts."""

    model: str
    results: list[SentimentResult]


class SequenceResult(TypedDict):
    """What was said of one sequence after its last step; ``steps`` after each, where that was asked for."""

    id: str | None
    length: int
    outputs: dict[str, Any]
    steps: list[dict[str, Any]] | None


class SequenceAnswer(TypedDict):
    """Results in the order of the sequences."""

    model: str
    results: list[SequenceResult]


class Alternative(TypedDict):
    """A token that could have been drawn."""

    token: str
    logprob: float


class TokenLogprob(TypedDict):
    """A token that was drawn; ``start`` is where it begins in its text, in characters."""

    token: str
    start: int
    logprob: float
    top: list[Alternative]


class Usage(TypedDict):
    """Tokens read and produced, over all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Choice(TypedDict):
    """One of the ``n`` texts."""

    text: str
    finish_reason: FinishReason
    logprobs: list[TokenLogprob] | None


class GenerateAnswer(TypedDict):
    """Texts; the same request with this ``seed`` gives the same ones. ``step`` comes from a session."""

    model: str
    choices: list[Choice]
    usage: Usage
    seed: int
    step: NotRequired[int]


class SessionInfo(TypedDict):
    """A session, without its state."""

    id: str
    model: str
    task: str | None
    step: int
    created_at: str
    updated_at: str
    expires_at: str
    metadata: dict[str, Any]


class SnapshotInfo(TypedDict):
    """A kept state of a session."""

    name: str
    step: int
    automatic: bool
    created_at: str


class Steps(TypedDict):
    """Outputs of steps on a state that the client carries, and the state for the next."""

    model: str
    step: int
    outputs: list[dict[str, Any]]
    state: str


class ModelInfo(TypedDict):
    """One version of a model, and whether it answers (``status`` is ``ready``).

    ``loaded``, where models are loaded on demand: whether it is in memory.
    """

    name: str
    version: str
    status: str
    reason: str | None
    labels: list[str]
    traffic: float
    task: str | None
    cell: str | None
    description: str | None
    default: bool
    loaded: NotRequired[bool]
