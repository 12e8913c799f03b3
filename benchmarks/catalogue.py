"""The servers that forecasts are measured against, with their tuning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.peer import Peer, Tuning


def _uvicorn(app: str, *more: str) -> Callable[[str, int], list[str]]:
    def command(python: str, port: int) -> list[str]:
        flags = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"]
        return [python, "-m", "uvicorn", app, *flags, "--loop", "uvloop", "--http", "httptools", *more]

    return command


NOOP = Peer("no-op ASGI", "noop", _uvicorn("server:app"), "/", own=True, setup="uvicorn, uvloop, httptools")
NAIVE = [
    Peer(
        f"naive FastAPI, {workers} worker{'s' if workers > 1 else ''}",
        "naive",
        _uvicorn("http_server:app", "--workers", str(workers)),
        "/forecast",
        own=True,
        setup="FastAPI and ONNX Runtime as people write it",
    )
    for workers in (1, 2)
]


def _script(*words: str) -> Callable[[str, int], list[str]]:
    return lambda python, port: [python, *words]


def _mosec(python: str, port: int) -> list[str]:
    return [python, "server.py", "--address", "127.0.0.1", "--port", str(port), "--timeout", "60000"]


def _open_inference(body: bytes) -> bytes:
    """Our request in the Open Inference Protocol."""
    values = orjson.loads(body)["values"]
    tensor = {"name": "values", "shape": [1, len(values)], "datatype": "FP32", "data": values}
    return orjson.dumps({"inputs": [tensor]})


def _list_of_one(body: bytes) -> bytes:
    return orjson.dumps({"inputs": [orjson.loads(body)["values"]]})


OTHERS: list[Peer] = [
    Peer("Mosec", "mosec", _mosec, "/inference", tuning=Tuning(2, 32, 6)),
    Peer(
        "Mosec with orjson",
        "mosec",
        _mosec,
        "/inference",
        env={"PEER_ORJSON": "1"},
        beyond=True,
        tuning=Tuning(2, 32, 6),
    ),
    Peer(
        "TorchServe",
        "torchserve",
        _script("start.py", "forecaster"),
        "/predictions/model",
        tuning=Tuning(2, 32, 2),
    ),
    Peer(
        "PyTriton",
        "pytriton",
        _script("server.py"),
        "/v2/models/forecaster/infer",
        body=_open_inference,
        tuning=Tuning(2, 32, 0),
    ),
    Peer(
        "MLServer",
        "mlserver",
        _script("start.py"),
        "/v2/models/forecaster/infer",
        body=_open_inference,
        tuning=Tuning(1, 16, 5),
    ),
    Peer("LitServe", "litserve", _script("server.py"), "/predict", tuning=Tuning(2, 16, 5)),
    Peer(
        "BentoML",
        "bentoml",
        lambda python, port: [
            str(Path(python).with_name("bentoml")), "serve", "service:Forecast",
            "--host", "127.0.0.1", "--port", str(port),
        ],
        "/forecast",
        body=_list_of_one,
        env={"BENTOML_DO_NOT_TRACK": "true", "DO_NOT_TRACK": "1"},
        tuning=Tuning(2, 64, 1000),
    ),
    Peer(
        "Ray Serve",
        "ray_serve",
        _script("server.py"),
        "/forecast",
        env={"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_RUN_SYNC_IN_THREADPOOL": "0"},
        tuning=Tuning(2, 16, 5),
    ),
]  # fmt: skip
