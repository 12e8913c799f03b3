"""Find a peer's best processes, batch and wait at 64 connections; `catalogue` records what it found.

python -m benchmarks.tune mosec [--workers 1,2] [--batches 4,8,16,32,64] [--waits 0,1,5,10]
python -m benchmarks.tune torchserve --sequences --batches 128,256     # 256 sessions, see `stateful_peer`
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import tempfile
from pathlib import Path

from app.bundle.reader import read_bundle
from benchmarks import bundle as bundles
from benchmarks import catalogue, stateful_peer, step_work, wrk
from benchmarks import forecast_work as work
from benchmarks.peer import Tuning


def main() -> None:
    """Try every combination and print them, best last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", help="its folder under benchmarks/peers")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--batches", default="4,8,16,32,64")
    parser.add_argument("--waits", default="0,1,5,10", help="milliseconds")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--sequences", action="store_true", help="its stateful side, with 256 sessions")
    options = parser.parse_args()
    grid = itertools.product(
        *(map(int, text.split(",")) for text in (options.workers, options.batches, options.waits))
    )
    tunings = [Tuning(*one) for one in grid]
    tried = asyncio.run((sweep_sequences if options.sequences else sweep)(options, tunings))
    for rate, tuning in sorted(tried, key=lambda one: one[0]):
        print(f"{rate:8.0f}/s  {tuning}")


async def sweep(options: argparse.Namespace, grid: list[Tuning]) -> list[tuple[float, Tuning]]:
    """Requests a second of each combination that comes up."""
    peer = next(one for one in catalogue.OTHERS if one.folder == options.peer)
    bodies = [peer.body(body) for body in work.bodies()]
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        model = work.export_plain(work.load(), Path(folder) / "model")
        for tuning in grid:
            try:
                subject, url, _ = await dataclasses.replace(peer, tuning=tuning).start(
                    model, work.bodies(1)[0]
                )
                with subject:
                    await wrk.closed(url, bodies, options.connections, 1)
                    closed = await wrk.closed(url, bodies, options.connections, options.seconds)
            except RuntimeError as error:
                print(f"{tuning}: {str(error)[-300:]}", flush=True)
                continue
            print(f"  {closed.per_s:8.0f}/s  p99 {closed.p99:6.1f} ms  {tuning}", flush=True)
            tried.append((closed.per_s, tuning))
    return tried


async def sweep_sequences(options: argparse.Namespace, grid: list[Tuning]) -> list[tuple[float, Tuning]]:
    """Events a second of each combination that loses none."""
    peer = next(one for one in stateful_peer.PEERS if one.folder == options.peer)
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        loaded = read_bundle(bundles.write_bundle(Path(folder) / "models"))
        model = step_work.export_plain(loaded, Path(folder) / "model")
        for tuning in grid:
            try:
                subject, url = await dataclasses.replace(peer, tuning=tuning).start(model)
            except RuntimeError as error:
                print(f"{tuning}: {str(error)[-300:]}", flush=True)
                continue
            with subject:
                record = await peer.drive(url, 256, options.seconds)
            lost = f"  {record.unanswered} unanswered, failures {dict(record.failures)}"
            print(f"  {record.per_s:8.0f}/s  {tuning}{lost}", flush=True)
            if not record.unanswered and not record.failures:
                tried.append((record.per_s, tuning))
    return tried


if __name__ == "__main__":
    main()
