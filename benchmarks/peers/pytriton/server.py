"""PyTriton: Triton with its dynamic batcher and a Python function, several of them side by side."""

from __future__ import annotations

import os
import sysconfig

import numpy as np
from forecaster import Forecaster
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def make() -> object:
    """One worker's function."""
    forecaster = Forecaster()

    @batch
    def infer(values: np.ndarray) -> dict[str, np.ndarray]:
        return {"quantiles": forecaster.run(values)[:, :24]}

    return infer


if __name__ == "__main__":
    # Triton's stub loads libpython by its name: it must be the one of this interpreter's library.
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        filter(None, (sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")))
    )
    port = int(os.environ["PEER_PORT"])
    config = TritonConfig(
        http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False, log_verbose=0
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="forecaster",
            infer_func=[make() for _ in range(int(os.environ["PEER_WORKERS"]))],
            inputs=[Tensor(name="values", dtype=np.float32, shape=(-1,))],
            outputs=[Tensor(name="quantiles", dtype=np.float32, shape=(24, len(Forecaster().levels)))],
            config=ModelConfig(
                max_batch_size=int(os.environ["PEER_BATCH"]),
                batcher=DynamicBatcher(max_queue_delay_microseconds=int(os.environ["PEER_WAIT_MS"]) * 1000),
            ),
        )
        triton.serve()
