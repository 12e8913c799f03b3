"""``GET /models``: the public part of what is being served."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.core.schema import Answer
from app.service.model_control import ModelStatus


class ModelSummary(Answer):
    """One model version. Only ready ones answer requests, and say what they are."""

    name: str
    version: str
    status: ModelStatus = Field(
        "ready",
        description="loading: being verified; ready; broken: failed verification; draining: takes no new "
        "requests; unloaded: not served",
    )
    reason: str | None = Field(None, description="why it is not ready; or what is wrong with its replacement")
    labels: list[str] = Field([], description="it is also asked by these, name@label")
    traffic: float = Field(
        0.0, description="share, 0 to 1, of the requests that name the model but no version"
    )
    task: str | None = None
    cell: Literal["rnn", "lstm", "gru"] | None = None
    description: str | None = None
    default: bool = Field(False, description="whether requests of its task that name no model go here")


class ModelList(Answer):
    """Every model version that is served, or lies where models are looked for."""

    models: list[ModelSummary]


class QualityFigure(Answer):
    """A measured figure and the baselines measured beside it."""

    metric: str
    dataset: str
    split: str
    value: float
    higher_is_better: bool
    baselines: dict[str, float]
    references: dict[str, float]


class ModelDetail(ModelSummary):
    """What a caller needs to know of one model."""

    versions: list[str] = Field(description="versions of this name that are served, newest first")
    network: dict[str, Any] = Field(description="layers, hidden size, parameters")
    inputs: dict[str, Any] = Field(description="the task's own terms: horizon, frequencies, labels, unit")
    limits: dict[str, Any] = Field(description="what a request to this model may ask for")
    state: dict[str, Any] = Field(description="size and named fields of the state row")
    quality: list[QualityFigure]
    provenance: dict[str, Any]
