"""Mosec: a worker with dynamic batching.

With PEER_ORJSON it reads and writes JSON with orjson, which is more than its documentation shows.
"""

from __future__ import annotations

import os

import orjson
from forecaster import Forecaster
from mosec import Server, Worker


class Inference(Worker):
    """Series in, quantiles out."""

    def __init__(self) -> None:
        self.forecaster = Forecaster()

    def forward(self, data: list[dict]) -> list[dict]:
        """A batch."""
        answers = self.forecaster.answer([body["values"] for body in data])
        return [{"quantiles": answer} for answer in answers]


class FastInference(Inference):
    """The same with orjson."""

    def deserialize(self, data: bytes) -> dict:
        """One body."""
        return orjson.loads(data)

    def serialize(self, data: dict) -> bytes:
        """One answer."""
        return orjson.dumps(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        FastInference if os.environ.get("PEER_ORJSON") else Inference,
        num=int(os.environ["PEER_WORKERS"]),
        max_batch_size=int(os.environ["PEER_BATCH"]),
        max_wait_time=int(os.environ["PEER_WAIT_MS"]),
    )
    server.run()
