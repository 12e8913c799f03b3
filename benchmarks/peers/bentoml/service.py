"""BentoML: a service with adaptive batching."""

from __future__ import annotations

import os

import bentoml
from forecaster import Forecaster


@bentoml.service(
    workers=int(os.environ["PEER_WORKERS"]),
    traffic={"timeout": 60},
    # One line for each request would be measured as well.
    logging={"access": {"enabled": False}},
)
class Forecast:
    """Series in, quantiles out."""

    def __init__(self) -> None:
        self.forecaster = Forecaster()

    @bentoml.api(
        batchable=True,
        batch_dim=0,
        max_batch_size=int(os.environ["PEER_BATCH"]),
        max_latency_ms=int(os.environ["PEER_WAIT_MS"]),
    )
    def forecast(self, inputs: list[list[float]]) -> list[dict[str, list[float]]]:
        """A batch; each client sends a list of one."""
        return self.forecaster.answer(inputs)
