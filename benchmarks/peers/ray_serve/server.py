"""Ray Serve: a deployment with replicas, and its batching decorator."""

from __future__ import annotations

import os
import signal

import ray
from forecaster import Forecaster
from ray import serve
from starlette.requests import Request

BATCH, WAIT_S = int(os.environ["PEER_BATCH"]), int(os.environ["PEER_WAIT_MS"]) / 1e3


@serve.deployment(
    num_replicas=int(os.environ["PEER_WORKERS"]),
    max_ongoing_requests=256,
    ray_actor_options={"num_cpus": 0.5},
)
class Forecast:
    """Series in, quantiles out."""

    def __init__(self) -> None:
        self.forecaster = Forecaster()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT_S)
    async def run(self, series: list[list[float]]) -> list[dict[str, list[float]]]:
        """A batch."""
        return self.forecaster.answer(series)

    async def __call__(self, request: Request) -> dict[str, dict[str, list[float]]]:
        """One request."""
        return {"quantiles": await self.run((await request.json())["values"])}


if __name__ == "__main__":
    ray.init(num_cpus=4, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])})
    serve.run(Forecast.bind(), route_prefix="/forecast")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
