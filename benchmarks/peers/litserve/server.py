"""LitServe: batching and worker processes."""

from __future__ import annotations

import os

import litserve as ls
from forecaster import Forecaster


class ForecastAPI(ls.LitAPI):
    """Series in, quantiles out."""

    def setup(self, device: str) -> None:
        """In each worker."""
        self.forecaster = Forecaster()

    def decode_request(self, request: dict) -> list[float]:
        """One body."""
        return request["values"]

    def batch(self, inputs: list) -> list:
        """Stays a list."""
        return inputs

    def predict(self, inputs: list) -> list:
        """A batch, or one series where the batch size is one."""
        if inputs and isinstance(inputs[0], list):
            return self.forecaster.answer(inputs)
        return self.forecaster.answer([inputs])[0]

    def unbatch(self, output: list) -> list:
        """Stays a list."""
        return output

    def encode_response(self, output: dict) -> dict:
        """One answer."""
        return {"quantiles": output}


if __name__ == "__main__":
    api = ForecastAPI(
        max_batch_size=int(os.environ["PEER_BATCH"]), batch_timeout=int(os.environ["PEER_WAIT_MS"]) / 1e3
    )
    server = ls.LitServer(
        api, accelerator="cpu", workers_per_device=int(os.environ["PEER_WORKERS"]), track_requests=False
    )
    server.run(
        host="127.0.0.1", port=int(os.environ["PEER_PORT"]), generate_client_file=False, log_level="warning"
    )
