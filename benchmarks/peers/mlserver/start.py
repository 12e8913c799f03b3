"""Start MLServer in this folder; takes its tuning and its port from PEER_*."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path


def free_port() -> str:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


os.environ |= {
    "MLSERVER_HOST": "127.0.0.1",
    "MLSERVER_HTTP_PORT": os.environ["PEER_PORT"],
    "MLSERVER_GRPC_PORT": free_port(),
    "MLSERVER_METRICS_PORT": free_port(),
    "MLSERVER_METRICS_DIR": str(Path(tempfile.gettempdir()) / "metrics"),
    "MLSERVER_ENVIRONMENTS_DIR": str(Path(tempfile.gettempdir()) / "environments"),
    "MLSERVER_DEBUG": "false",
    # None: the model runs in the server's own process.
    "MLSERVER_PARALLEL_WORKERS": str(int(os.environ["PEER_WORKERS"]) % 100),
    "MLSERVER_MODEL_MAX_BATCH_SIZE": os.environ["PEER_BATCH"],
    "MLSERVER_MODEL_MAX_BATCH_TIME": str(int(os.environ["PEER_WAIT_MS"]) / 1e3),
}
program = str(Path(sys.executable).with_name("mlserver"))
os.execv(program, [program, "start", "."])
