"""Pack a handler into an archive and start TorchServe with it; ends with it.

    python start.py forecaster|sequence

Takes its tuning from PEER_WORKERS, PEER_BATCH and PEER_WAIT_MS, its port from PEER_PORT.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


# A line for each request would be measured as well.
LOGGING = """<Configuration status="error">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Write the archive and the configuration, and become TorchServe."""
    kind = sys.argv[1]
    handler = {"forecaster": "handler.py", "sequence": "sequence_handler.py"}[kind]
    place = Path(tempfile.mkdtemp(prefix="torchserve-"))
    tuning = {
        "minWorkers": os.environ["PEER_WORKERS"],
        "maxWorkers": os.environ["PEER_WORKERS"],
        "batchSize": os.environ["PEER_BATCH"],
        "maxBatchDelay": os.environ["PEER_WAIT_MS"],
        "responseTimeout": "60",
    }
    if kind == "sequence":
        tuning |= {
            "sequenceBatching": "true",
            "maxNumSequence": "1024",
            "maxSequenceJobQueueSize": "16",
            "sequenceMaxIdleMSec": "60000",
        }
    (place / "model-config.yaml").write_text("".join(f"{name}: {value}\n" for name, value in tuning.items()))
    store = place / "store"
    store.mkdir()
    (place / "java").mkdir()
    archiver = [str(Path(sys.executable).with_name("torch-model-archiver")), "--model-name", "model"]
    archiver += ["--version", "1.0", "--handler", str(HERE / handler), "--export-path", str(store)]
    subprocess.run([*archiver, "--config-file", str(place / "model-config.yaml")], check=True)
    settings = {
        "inference_address": f"http://127.0.0.1:{os.environ['PEER_PORT']}",
        "management_address": f"http://127.0.0.1:{free_port()}",
        "metrics_address": f"http://127.0.0.1:{free_port()}",
        "grpc_inference_port": free_port(),
        "grpc_management_port": free_port(),
        "job_queue_size": 4096,
        "disable_system_metrics": "true",
        "enable_envvars_config": "true",
        # The workers' sockets go there by fixed names, and what else is there may be removed.
        "vmargs": f"-Djava.io.tmpdir={place / 'java'}",
        "install_py_dep_per_model": "false",
    }
    (place / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (place / "log4j2.xml").write_text(LOGGING)
    os.chdir(place)
    torchserve = [str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground", "--ncs"]
    torchserve += ["--model-store", str(store), "--models", "model=model.mar"]
    torchserve += ["--ts-config", str(place / "config.properties"), "--disable-token-auth"]
    torchserve += ["--log-config", str(place / "log4j2.xml")]
    os.execv(torchserve[0], torchserve)


if __name__ == "__main__":
    main()
