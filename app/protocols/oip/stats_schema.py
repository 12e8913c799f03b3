"""``/v2/models/stats`` in the words of Triton's statistics extension."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.core.schema import Answer


class DurationStat(Answer):
    """How often, and how many nanoseconds in all."""

    count: int
    ns: int


class InferenceStats(Answer):
    """Where the time of the requests went; what is not told apart here is always zero."""

    success: DurationStat
    fail: DurationStat
    queue: DurationStat = Field(description="until the first run of the network; of sequences not known")
    compute_input: DurationStat
    compute_infer: DurationStat = Field(description="in runs of the network; of sequences not known")
    compute_output: DurationStat
    cache_hit: DurationStat
    cache_miss: DurationStat


class ModelStats(Answer):
    """Of one model version."""

    name: str
    version: str
    last_inference: int = Field(
        description="end of the last request, milliseconds since the epoch; 0 before it"
    )
    inference_count: int = Field(description="rows answered")
    execution_count: int = Field(description="requests answered")
    inference_stats: InferenceStats
    batch_stats: list[Any]


class Statistics(Answer):
    """Of the versions asked for."""

    model_stats: list[ModelStats]
