"""What another body than JSON would save a forecast: decoding alone, and the whole request.

    .venv/bin/pip install -e '.[training,benchmarks]'
    .venv/bin/python -m benchmarks.series_bodies [--seconds 4]

Decoding is from the body's bytes to checked float64 arrays, in one process and its CPU seconds:

    json      the server's own way: pydantic-core on the bytes, then an array of each list
    msgpack   MessagePack with lists of numbers, by ormsgpack, then the same pydantic model
    typed     the same body straight into typed structures, by msgspec
    packed    MessagePack with each series as the bytes of its float64 values
    arrow     an Arrow IPC stream, a column for each series; measured where pyarrow is installed

Beside it stand what a request costs after that: turning the arrays into the network's steps, and the
whole, which is the CPU of a real server's process with the shipped forecaster. What the whole would be
with the quickest body follows from the difference in decoding.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx2
import msgspec
import numpy as np
import orjson
import ormsgpack
from numpy.typing import NDArray

from app.bundle.reader import read_bundle
from app.tasks.forecast.model import ForecastModel
from app.tasks.forecast.schema import LARGEST_VALUE, ForecastLimits, ForecastRequest
from benchmarks.report import Figure, publish
from benchmarks.server import Server

MODELS = Path(__file__).parent.parent / "models"
SIZES = [(168, 1), (168, 64), (4_000, 1), (4_000, 64), (100_000, 1)]
"""Points of a series, and series; 64 of 100,000 are over the server's limit."""
HORIZON = 24

Arrays = list[NDArray[np.float64]]
_Value = Annotated[float, msgspec.Meta(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]


class _Series(msgspec.Struct, forbid_unknown_fields=True):
    values: list[_Value | None]
    id: str | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    horizon: int
    series: list[_Series]


_TYPED = msgspec.msgpack.Decoder(_Request)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    figures: list[Figure] = []
    bodies = {size: body_of(*size) for size in SIZES}
    decoding = {size: decode_all(body) for size, body in bodies.items()}
    whole = requests(bodies, options.seconds)
    for size, costs in decoding.items():
        name = f"{size[0]:,} points x {size[1]}"
        json, (quickest, best) = costs["json"], min(costs.items(), key=lambda one: one[1])
        figures.append(Figure(f"{name}: json", json * 1e6, "us"))
        figures += [
            Figure(f"{name}: {form}", cost * 1e6, "us", json / cost, "speed of json")
            for form, cost in costs.items()
            if form != "json"
        ]
        figures.append(Figure(f"{name}: arrays to steps", steps_cpu(bodies[size]) * 1e6, "us"))
        figures.append(Figure(f"{name}: whole request, json", whole[size] * 1e6, "us"))
        saved = whole[size] - json + best
        figures.append(
            Figure(
                f"{name}: whole, {quickest}", saved * 1e6, "us", whole[size] / saved, "speed of json", "1.5"
            )
        )
    publish("series_bodies", figures, {"horizon": HORIZON, "sizes": [list(size) for size in SIZES]})


def body_of(points: int, num: int) -> dict[str, Any]:
    """A request with so many series, of values with three decimals."""
    random = np.random.default_rng(0)
    table = np.round(100 + random.normal(0, 10, (num, points)), 3)
    return {
        "series": [{"id": f"s{index}", "values": row.tolist()} for index, row in enumerate(table)],
        "horizon": HORIZON,
    }


def decode_all(body: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of each form."""
    as_json, as_lists = orjson.dumps(body), ormsgpack.packb(body)
    packed = ormsgpack.packb(
        body | {"series": [one | {"values": np.array(one["values"]).tobytes()} for one in body["series"]]}
    )
    forms: dict[str, Callable[[], Arrays]] = {
        "json": lambda: _arrays(ForecastRequest.model_validate_json(as_json)),
        "msgpack": lambda: _arrays(ForecastRequest.model_validate(ormsgpack.unpackb(as_lists))),
        "typed": lambda: [np.array(one.values, np.float64) for one in _TYPED.decode(as_lists).series],
        "packed": lambda: [checked(one["values"]) for one in ormsgpack.unpackb(packed)["series"]],
    }
    if importlib.util.find_spec("pyarrow") is not None:
        forms["arrow"] = _arrow(body)
    expected = forms["json"]()
    for decode in forms.values():
        assert all(np.array_equal(one, other) for one, other in zip(expected, decode(), strict=True))
    return {name: cpu(decode) for name, decode in forms.items()}


def checked(data: bytes) -> NDArray[np.float64]:
    """Numbers as they lie in memory, within the bounds; NaN is a missing one."""
    values = np.frombuffer(data, "<f8")
    if not values.size or (np.abs(values) > LARGEST_VALUE).any():
        raise ValueError("a value is out of bounds")
    return values


def _arrays(request: ForecastRequest) -> Arrays:
    return [np.array(one.values, np.float64) for one in request.all_series()]


def _arrow(body: dict[str, Any]) -> Callable[[], Arrays]:
    import pyarrow as pa

    table = pa.table({one["id"]: one["values"] for one in body["series"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    return lambda: [
        checked(column.to_numpy().tobytes()) for column in pa.ipc.open_stream(data).read_all().columns
    ]


def cpu(work: Callable[[], object], seconds: float = 0.4) -> float:
    """Median CPU seconds of one call; at least five calls."""
    times: list[float] = []
    until = time.process_time() + seconds
    while len(times) < 5 or time.process_time() < until:
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return float(np.median(times))


def requests(bodies: dict[tuple[int, int], dict[str, Any]], seconds: float) -> dict[tuple[int, int], float]:
    """CPU seconds of a server per JSON request, one after the other."""
    found: dict[tuple[int, int], float] = {}
    with Server(MODELS, sessions="off", log_level="warning") as server, httpx2.Client(timeout=120) as http:
        for size, body in bodies.items():
            ask = partial(http.post, f"{server.url}/forecast", content=orjson.dumps(body))
            ask().raise_for_status()
            before, count, until = server.cpu_s(), 0, time.perf_counter() + seconds
            while count < 3 or time.perf_counter() < until:
                ask().raise_for_status()
                count += 1
            found[size] = (server.cpu_s() - before) / count
    return found


def steps_cpu(body: dict[str, Any]) -> float:
    """CPU seconds of what follows on decoding: the network's steps of each series."""
    task = ForecastModel(read_bundle(MODELS / "forecaster/1"), ForecastLimits())
    request = ForecastRequest.model_validate(body)
    return cpu(lambda: task.prepare(request))


if __name__ == "__main__":
    main()
