"""Series as tensors: ``values [batch, time]`` in; means and quantiles ``[batch, horizon]`` out.

NaN is a missing observation. In a sequence, and when an output ``step_...`` is asked for, each value is
a step: what was expected of it, and how unusual it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Manifest
from app.core.errors import InvalidInput
from app.core.tensor import ANY, Tensor, TensorSpec, floats
from app.protocols.oip.parameters import ForecastParameters
from app.protocols.oip.rows import rows_of
from app.tasks.forecast.actions import ForecastFromState
from app.tasks.forecast.schema import LARGEST_VALUE, Forecast, ForecastRequest, SeriesInput
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.streaming import Output

VALUES = TensorSpec("values", "FP32", (ANY, ANY), also=("FP64",))


class ForecastTensors:
    """What one forecaster's tensors mean.

    Args:
        manifest: of its bundle.
        spec: of the manifest.
    """

    parameters = ForecastParameters
    inputs = (VALUES,)

    def __init__(self, manifest: Manifest, spec: ForecastSpec) -> None:
        self._reference = manifest.reference
        self._horizon = spec.horizon
        self._trained = ",".join(f"{level:g}" for level in spec.quantiles)
        self.outputs = (
            TensorSpec("mean", "FP32", (ANY, ANY)),
            TensorSpec("quantiles", "FP32", (ANY, ANY, ANY)),
            TensorSpec("step_forecast", "FP32", (ANY, ANY, len(spec.quantiles)), each_step=True),
            TensorSpec("step_quantile", "FP32", (ANY, ANY), each_step=True),
            TensorSpec("step_anomaly_score", "FP32", (ANY, ANY), each_step=True),
        )
        self.meaning: dict[str, str | int] = {"max_horizon": spec.horizon, "levels": self._trained}

    def request(self, tensors: Mapping[str, Tensor], parameters: ForecastParameters) -> ForecastRequest:
        """The forecast of every row.

        Raises:
            InvalidInput: a value is too large.
        """
        series = [
            SeriesInput.model_construct(
                id=None, values=row.tolist(), start=parameters.start, freq=parameters.freq
            )
            for row in self._rows(tensors)
        ]
        return self._asked(parameters, series)

    def trial(self, parameters: ForecastParameters) -> ForecastRequest:
        """A request that is valid just if the horizon and the levels are."""
        return self._asked(parameters, [SeriesInput.model_construct(id=None, values=[0.0, 1.0])])

    def _asked(self, parameters: ForecastParameters, series: list[SeriesInput]) -> ForecastRequest:
        if parameters.quantiles is not None and parameters.levels is not None:
            raise InvalidInput("levels", "give either quantiles or levels, not both")
        return ForecastRequest.model_construct(
            series=series,
            horizon=parameters.horizon or self._horizon,
            quantiles=parameters.quantiles,
            levels=parameters.levels,
            season=parameters.season,
            model=self._reference,
        )

    def ahead(self, parameters: ForecastParameters) -> ForecastFromState:
        """The forecast from where a sequence is."""
        return ForecastFromState.model_construct(
            horizon=parameters.horizon or self._horizon,
            quantiles=parameters.quantiles,
            levels=parameters.levels,
        )

    def options(self, parameters: ForecastParameters) -> dict[str, Any]:
        """What a session on the series is opened with."""
        given = {"freq": parameters.freq, "season": parameters.season, "start": parameters.start}
        return {name: value for name, value in given.items() if value is not None}

    def answer(self, forecasts: Sequence[Forecast]) -> list[Tensor]:
        """Means ``[batch, horizon]`` and quantiles ``[batch, horizon, levels]``."""
        levels = ",".join(forecasts[0].quantiles)
        quantiles = [np.array(list(one.quantiles.values())).T for one in forecasts]
        return [
            floats("mean", [one.mean for one in forecasts]),
            floats("quantiles", np.stack(quantiles), levels=levels),
        ]

    def events(self, tensors: Mapping[str, Tensor]) -> list[list[float | None]]:
        """The rows as inputs of a session each, null where a value is missing."""
        return [[None if value != value else value for value in row.tolist()] for row in self._rows(tensors)]

    def steps(self, rows: Sequence[Sequence[Output]]) -> list[Tensor]:
        """The outputs of each step, ``[batch, time]``; those of the first step are NaN."""
        unknown = [np.nan] * self.outputs[2].shape[2]
        forecasts = [
            [list(one["forecast"].values()) if one["forecast"] else unknown for one in row] for row in rows
        ]
        return [
            floats("step_forecast", forecasts, levels=self._trained),
            floats("step_quantile", [[one["quantile"] for one in row] for row in rows]),
            floats("step_anomaly_score", [[one["anomaly_score"] for one in row] for row in rows]),
        ]

    def _rows(self, tensors: Mapping[str, Tensor]) -> NDArray[Any]:
        if "values" not in tensors:
            raise InvalidInput("inputs", "expected input 'values', of FP32 and shape [batch, time]")
        values = rows_of(tensors["values"])
        if np.any(np.abs(values) > LARGEST_VALUE):
            raise InvalidInput(
                "inputs",
                f"input 'values': a value is NaN where missing, else at most {LARGEST_VALUE:g} in magnitude",
                allowed={"min": -LARGEST_VALUE, "max": LARGEST_VALUE},
            )
        return values
