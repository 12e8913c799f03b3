"""``GET /models``: the public part of what is being served."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.schemas.base import Answer


class ModelSummary(Answer):
    """One served model version."""

    name: str
    version: str
    task: Literal["forecast", "sentiment", "generate"]
    cell: Literal["rnn", "lstm", "gru"]
    description: str
    default: bool = Field(description="whether requests of its task that name no model go here")


class ModelList(Answer):
    """Every served model version."""

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
