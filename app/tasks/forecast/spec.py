"""What the manifest of a forecaster says of its answers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from app.bundle.manifest import GraphInput, GraphSpec, Section, Spec
from app.tasks.forecast.covariate_spec import CovariateSpec


class Frequency(Section):
    """How a forecaster treats one sampling frequency; lengths in steps."""

    index: int = Field(ge=0, description="row of the frequency embedding; 0 is any other frequency")
    season: int = Field(ge=1)
    long_season: int = Field(ge=1)


class ForecastSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["forecast"] = "forecast"
    horizon: int = Field(ge=1, description="steps ahead that every step predicts")
    quantiles: tuple[float, ...] = Field(
        min_length=1, description="levels, ascending, of the last output axis"
    )
    columns: tuple[str, ...] = Field(description="meaning of each element of a step, in order")
    window: int = Field(
        ge=1, description="steps back that the row remembers exactly; no season may be longer"
    )
    frequencies: dict[str, Frequency] = Field(description="frequencies seen in training")
    covariates: CovariateSpec | None = Field(default=None, description="left out where there are none")

    @field_validator("quantiles")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < level < 1 for level in value) or list(value) != sorted(set(value)):
            raise ValueError("quantile levels must ascend strictly inside (0, 1)")
        return value

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        steps = GraphInput(name="x", dtype="float32", shape=(len(self.columns),))
        graph.expect(steps, {"quantiles": (self.horizon, len(self.quantiles))})


def known_frequencies(spec: ForecastSpec) -> dict[str, tuple[int, int, int]]:
    """Index, season and long season of each frequency that a forecaster was trained on."""
    return {code: (known.index, known.season, known.long_season) for code, known in spec.frequencies.items()}
