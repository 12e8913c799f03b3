"""The step on a GPU: rows that stay on the device, against rows that travel, against the CPU.

    python -m benchmarks.cuda [--seconds 1] [--rounds 3] [--batches 1,16,64,256,1024,4096] [--device cuda]

Needs `onnxruntime-gpu` and a card. For each batch: steps a second of the raw loop on one CPU thread, of
the loop that hands rows and tokens over as arrays, and of the loop whose rows and logits stay on the
device (IOBinding, two buffers that take turns: what a step writes it never reads). Then whether a row's
bits depend on its batch and on how a sequence is cut, which holds on the CPU and is not promised here.

`--device cpu` runs the same code without a card, to try it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.bundle.reader import Bundle, read_bundle
from benchmarks import bundle as bundles
from benchmarks import step_work as work
from benchmarks.report import Figure, against, plain, publish

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_HEAD = np.zeros(1, np.int64)
_TIME = 48


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", default="1,16,64,256,1024,4096")
    parser.add_argument("--device", choices=sorted(_PROVIDERS), default="cuda")
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm")
    options = parser.parse_args()
    if _PROVIDERS[options.device] not in ort.get_available_providers():
        parser.error(f"this ONNX Runtime has no {_PROVIDERS[options.device]}; install onnxruntime-gpu")
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        bundle = read_bundle(bundles.write_bundle(Path(name), cell=options.cell))
    loops = Loops(bundle, options.device)
    for _ in range(options.rounds):
        for batch in map(int, options.batches.split(",")):
            for title, rate in (
                ("one CPU thread", work.raw(bundle, batch, options.seconds)),
                ("arrays", timed(loops.arrays(batch), batch, options.seconds)),
                ("on the device", timed(loops.bound(batch), batch, options.seconds)),
            ):
                rates.setdefault((title, batch), []).append(rate)
    found = figures(rates, options.device)
    invariance = loops.invariance()
    found += [plain(what, [value], "largest difference") for what, value in invariance.items()]
    publish(
        "cuda" if options.device == "cuda" else "cuda-dry-run",
        found,
        {"options": vars(options), "invariance": invariance},
    )


class Loops:
    """A graph on a device.

    Args:
        bundle: a text generator.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self._bundle = bundle
        self._device = device
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(bundle.graph, options, providers=[_PROVIDERS[device]])
        if _PROVIDERS[device] not in self._session.get_providers():
            raise RuntimeError(f"{_PROVIDERS[device]} did not start")

    def run(
        self, tokens: NDArray[np.int64], rows: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One run with arrays on the host: logits and rows."""
        feeds = {"tokens": tokens, "state": rows, "head_from": _HEAD}
        logits, after = self._session.run(["logits", "state_out"], feeds)
        return logits, after

    def arrays(self, batch: int) -> Callable[[], None]:
        """A step that hands rows over and takes them back."""
        rows = np.repeat(self._bundle.start[None], batch, axis=0)
        tokens = np.full((batch, 1), 5, np.int64)

        def step() -> None:
            nonlocal rows, tokens
            logits, rows = self.run(tokens, rows)
            tokens = logits[:, -1].argmax(axis=1)[:, None]

        return step

    def bound(self, batch: int) -> Callable[[], None]:
        """A step whose rows never leave the device; tokens go there and logits come back."""
        rows = np.repeat(self._bundle.start[None], batch, axis=0)
        buffers = [ort.OrtValue.ortvalue_from_numpy(rows.copy(), self._device, 0) for _ in range(2)]
        bindings = []
        for source, target in ((0, 1), (1, 0)):
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("state", buffers[source])
            binding.bind_cpu_input("head_from", _HEAD)
            binding.bind_ortvalue_output("state_out", buffers[target])
            binding.bind_output("logits", "cpu")
            bindings.append(binding)
        tokens = np.full((batch, 1), 5, np.int64)
        turn = 0

        def step() -> None:
            nonlocal tokens, turn
            binding = bindings[turn]
            binding.bind_cpu_input("tokens", tokens)
            self._session.run_with_iobinding(binding)
            (logits,) = (value.numpy() for value in binding.get_outputs()[1:])
            tokens = logits[:, -1].argmax(axis=1)[:, None]
            turn = 1 - turn

        return step

    def invariance(self) -> dict[str, float]:
        """Largest differences between answers that are equal to the bit on the CPU; zero is equality."""
        random = np.random.default_rng(0)
        tokens = random.integers(2, 60, (256, _TIME))
        rows = np.repeat(self._bundle.start[None], 256, axis=0)
        whole, last = self.run(tokens, rows)
        found: dict[str, float] = {}
        for batch in (1, 2, 7, 64):
            logits, _ = self.run(tokens[:batch], rows[:batch])
            found[f"batch {batch} against 256"] = float(np.abs(logits - whole[:batch]).max())
        state, pieces = rows, []
        for first in range(0, _TIME, 5):
            logits, state = self.run(np.ascontiguousarray(tokens[:, first : first + 5]), state)
            pieces.append(logits)
        found["cut into fives against whole"] = float(np.abs(np.concatenate(pieces, 1) - whole).max())
        found["row, cut into fives"] = float(np.abs(state - last).max())
        again, _ = self.run(tokens, rows)
        found["the same run twice"] = float(np.abs(again - whole).max())
        return found


def timed(step: Callable[[], None], batch: int, seconds: float) -> float:
    """Steps a second, after a few that warm up."""
    for _ in range(5):
        step()
    started, count = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        step()
        count += batch
    return count / (time.perf_counter() - started)


def figures(rates: dict[tuple[str, int], list[float]], device: str) -> list[Figure]:
    """Each way against the CPU."""
    found: list[Figure] = []
    for (title, batch), values in rates.items():
        floor = rates[("one CPU thread", batch)]
        if title == "one CPU thread":
            found.append(plain(f"{title}, batch {batch}", values, "steps/s"))
        else:
            name = f"{device}, {title}, batch {batch}"
            found.append(against(name, values, floor, "steps/s", "one CPU thread"))
    return found


if __name__ == "__main__":
    main()
