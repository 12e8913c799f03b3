"""The forecast that every subject is asked for: the bundle as plain files, the bodies, the raw loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson
from numpy.typing import NDArray

from app.bundle.reader import Bundle, read_bundle
from app.tasks.forecast.spec import ForecastSpec

POINTS, HORIZON = 168, 24
BUNDLE = Path(__file__).parent.parent / "models" / "forecaster" / "4"
FIRST = BUNDLE.parent / "1"
"""The first version, whose time others are held against."""
_NUM_BODIES = 32


def bodies(num: int = _NUM_BODIES, points: int = POINTS) -> list[bytes]:
    """Different series of hourly values with a daily season, two decimals each."""
    chance = np.random.default_rng(0)
    hours = np.arange(points)
    made = []
    for _ in range(num):
        level, height = chance.uniform(50, 500), chance.uniform(5, 40)
        values = level + height * np.sin(2 * np.pi * hours / 24) + chance.normal(0, height / 5, points)
        made.append(orjson.dumps({"values": np.round(values, 2).tolist(), "horizon": HORIZON, "freq": "h"}))
    return made


def load(folder: Path = BUNDLE) -> Bundle:
    """The shipped forecaster, or another version of it."""
    return read_bundle(folder)


def export_plain(bundle: Bundle, folder: Path) -> Path:
    """The graph, the start row and the hourly columns as files that need no code of this project.

    The peers load these: `model.onnx`, `start.npy` ``[S]`` and `kind.npy`, the columns frequency, season
    and long season, and `levels.npy`, those of the quantiles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = bundle.manifest.spec_as(ForecastSpec)
    hourly = spec.frequencies["h"]
    (folder / "model.onnx").write_bytes(bundle.graph)
    np.save(folder / "start.npy", bundle.start)
    np.save(folder / "levels.npy", np.array(spec.quantiles))
    np.save(folder / "kind.npy", np.array([hourly.index, hourly.season, hourly.long_season], np.float32))
    return folder


def raw(bundle: Bundle, batch: int, seconds: float, lanes: int = 1, points: int = POINTS) -> float:
    """Sequences a second of bare ONNX Runtime, one thread a session, ``lanes`` sessions side by side."""
    counts = [0] * lanes
    ready = threading.Barrier(lanes + 1)
    until = [0.0]

    def work(lane: int) -> None:
        session = one_thread_session(bundle.graph)
        feeds = _feeds(bundle, batch, points)
        names = [output.name for output in bundle.manifest.graph.outputs]
        session.run(names, feeds)
        ready.wait()
        while time.perf_counter() < until[0]:
            session.run(names, feeds)
            counts[lane] += batch

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(lanes)]
    for thread in threads:
        thread.start()
    until[0] = time.perf_counter() + 1e9
    ready.wait()
    started = time.perf_counter()
    until[0] = started + seconds
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def micros(bundles: Sequence[Bundle], seconds: float) -> list[float]:
    """Microseconds of one forecast by bare ONNX Runtime with one thread, of bundles that take turns.

    The tenth percentile of each: what else runs on a machine makes runs longer, never shorter.
    """
    ready = [(one_thread_session(each.graph), _feeds(each, 1)) for each in bundles]
    taken: list[list[float]] = [[] for _ in ready]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(taken[0]) < 10:
        for (session, feeds), times in zip(ready, taken, strict=True):
            started = time.perf_counter()
            session.run(None, feeds)
            times.append(time.perf_counter() - started)
    return [1e6 * float(np.quantile(times, 0.1)) for times in taken]


def expected(bundle: Bundle) -> NDArray[np.float32]:
    """What every subject must answer to the first body: ``[horizon, levels]``."""
    outputs = one_thread_session(bundle.graph).run(["quantiles"], _feeds(bundle, 1))
    return np.asarray(outputs[0][0, 0, :HORIZON])


def differs(answer: bytes, wanted: NDArray[np.float32]) -> float:
    """The largest distance from a wanted number to the nearest one in a JSON answer, in whatever shape.

    Raises:
        RuntimeError: the answer is not JSON or holds fewer numbers than are wanted.
    """
    try:
        found = np.sort(np.array(list(_numbers(orjson.loads(answer)))))
    except orjson.JSONDecodeError as error:
        raise RuntimeError(f"not JSON: {answer[:200]!r}") from error
    if len(found) < wanted.size:
        raise RuntimeError(f"{len(found)} numbers instead of {wanted.size}")
    places = np.clip(np.searchsorted(found, wanted.ravel()), 1, len(found) - 1)
    near = np.minimum(abs(found[places] - wanted.ravel()), abs(found[places - 1] - wanted.ravel()))
    return float(near.max())


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def one_thread_session(graph: bytes) -> ort.InferenceSession:
    """ONNX Runtime's defaults with one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _feeds(bundle: Bundle, batch: int, points: int = POINTS) -> dict[str, NDArray[np.generic]]:
    x = np.zeros((batch, points, 12), np.float32)
    series: Sequence[bytes] = bodies(min(batch, _NUM_BODIES), points)
    for row in range(batch):
        x[row, :, 0] = orjson.loads(series[row % len(series)])["values"]
    x[:, :, 1] = 1
    x[:, :, 2:5] = (1, 24, 168)
    state = np.repeat(bundle.start[None], batch, axis=0)
    return {"x": x, "state": state, "head_from": np.array([points - 1], np.int64)}
