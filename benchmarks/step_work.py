"""The step that every subject is asked for, as plain files, and its raw loops.

A two-layer LSTM of 256 over an embedding of 64 with a vocabulary of 66: one token in, 66 logits and
the row of 1,024 numbers out. A raw step is one run of the graph and the argmax over its logits.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from app.bundle.reader import Bundle
from benchmarks.forecast_work import one_thread_session


def export_plain(bundle: Bundle, folder: Path) -> Path:
    """`model.onnx` and `start.npy`, for the peers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(bundle.graph)
    np.save(folder / "start.npy", bundle.start)
    return folder


def raw(bundle: Bundle, batch: int, seconds: float, lanes: int = 1, temperature: float = 0.0) -> float:
    """Steps a second of a bare loop, one thread a session, ``lanes`` sessions side by side.

    The new row and the chosen token are the next step's input, as in a real sequence.

    Args:
        bundle: a text generator.
        batch: sequences that advance together.
        seconds: how long.
        lanes: independent loops, each with this batch.
        temperature: 0 takes the most likely token; above, one is drawn for each row (softmax,
            cumulative sum, one random number a row).
    """
    counts = [0] * lanes
    ready = threading.Barrier(lanes + 1)
    until = [float("inf")]

    def work(lane: int) -> None:
        session = one_thread_session(bundle.graph)
        name = bundle.manifest.graph.input.name
        head = np.zeros(1, np.int64)
        chance = np.random.default_rng(lane)
        rows = np.repeat(bundle.start[None], batch, axis=0)
        tokens = np.full(batch, 5, np.int64)
        ready.wait()
        while time.perf_counter() < until[0]:
            feeds = {name: tokens[:, None], "state": rows, "head_from": head}
            logits, rows = session.run(["logits", "state_out"], feeds)
            last = logits[:, -1]
            if temperature:
                weights = np.exp((last - last.max(axis=1, keepdims=True)) / temperature)
                total = np.cumsum(weights, axis=1)
                tokens = (total > chance.random(batch)[:, None] * total[:, -1:]).argmax(axis=1)
            else:
                tokens = last.argmax(axis=1)
            counts[lane] += batch

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(lanes)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    until[0] = started + seconds
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)
