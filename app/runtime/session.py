"""One loaded graph. The only import of onnxruntime; its exceptions end here."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.bundle.manifest import Manifest
from app.core.errors import DeviceUnavailable, InvalidManifest, RunFailed

Device = Literal["cpu", "cuda"]

_PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_GIVE_UP_S = 2.0
_DTYPES: dict[str, str] = {"int64": "tensor(int64)", "float32": "tensor(float)"}


class GraphSession:
    """A graph on a device; raises DeviceUnavailable, or InvalidManifest where its border is another.

    One thread inside one run is the fastest for small recurrent networks, and the only number for which the
    bits never depend on the batch.
    """

    def __init__(self, graph: bytes, manifest: Manifest, device: Device = "cpu", threads: int = 1) -> None:
        provider = _PROVIDERS[device]
        if provider not in ort.get_available_providers():
            raise DeviceUnavailable(
                f"device {device!r} needs {provider}, which this ONNX Runtime does not have; "
                "install the [gpu] extra (onnxruntime-gpu) in place of onnxruntime, or use --device cpu"
            )
        if device == "cuda":
            # CUDA may have been installed as Python packages, where no loader looks by itself.
            ort.preload_dlls(msvc=False)
        try:
            self._session = ort.InferenceSession(graph, _options(threads), providers=[provider])
        except Exception as error:
            raise InvalidManifest(f"{manifest.reference}: the graph cannot be loaded: {error}") from error
        if provider not in self._session.get_providers():
            raise DeviceUnavailable(
                f"device {device!r} was asked for, but {provider} did not start; see the log"
            )
        self.device: Device = device
        self.dtype = np.dtype(manifest.graph.input.dtype)
        self._input = manifest.graph.input.name
        self.output_names = tuple(output.name for output in manifest.graph.outputs)
        self._fetches = [*self.output_names, "state_out"]
        self._output_shapes = [tuple(output.shape) for output in manifest.graph.outputs]
        self._run_options: ort.RunOptions | None = None
        self._check_border(manifest)

    @contextlib.contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Runs that take longer raise RunFailed: a graph may loop without end. Not for serving."""
        options = self._run_options = ort.RunOptions()
        options.log_severity_level = 4
        _bounded.add(options)
        timer = threading.Timer(seconds, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            _bounded.discard(options)
            self._run_options = None

    def empty_outputs(self, rows: int, count: int) -> list[NDArray[np.float32]]:
        """Arrays for the outputs of ``count`` steps of ``rows`` sequences, to be filled."""
        return [np.empty((rows, count, *shape), np.float32) for shape in self._output_shapes]

    def run(
        self, steps: NDArray[np.generic], state: NDArray[np.float32], head_from: int
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """Outputs in manifest order and next rows, of steps ``[batch, time, ...]`` and rows ``[n, S]``."""
        feeds = {self._input: steps, "state": state, "head_from": np.array([head_from], np.int64)}
        try:
            *outputs, state_out = self._session.run(self._fetches, feeds, self._run_options)
        except Exception as error:
            raise RunFailed(f"ONNX Runtime: {error}") from error
        return outputs, state_out

    def _check_border(self, manifest: Manifest) -> None:
        step = list(manifest.graph.input.shape)
        wanted_in = {
            self._input: (_DTYPES[manifest.graph.input.dtype], 2, step),
            "state": (_DTYPES["float32"], 1, [manifest.row.size]),
            "head_from": (_DTYPES["int64"], 0, [1]),
        }
        wanted_out = {
            output.name: (_DTYPES["float32"], 2, list(output.shape)) for output in manifest.graph.outputs
        }
        wanted_out["state_out"] = (_DTYPES["float32"], 1, [manifest.row.size])
        for kind, nodes, wanted in (
            ("input", self._session.get_inputs(), wanted_in),
            ("output", self._session.get_outputs(), wanted_out),
        ):
            actual = {node.name: (node.type, node.shape) for node in nodes}
            if set(actual) != set(wanted):
                raise InvalidManifest(
                    f"{manifest.reference}: graph {kind}s are {sorted(actual)}, "
                    f"the manifest says {sorted(wanted)}"
                )
            for name, (dtype, num_dynamic, shape) in wanted.items():
                got_dtype, got_shape = actual[name]
                if got_dtype != dtype or got_shape[num_dynamic:] != shape:
                    raise InvalidManifest(
                        f"{manifest.reference}: graph {kind} {name!r} is {got_dtype} {got_shape}, "
                        f"the manifest says {dtype} with trailing axes {shape}"
                    )


_bounded: set[ort.RunOptions] = set()


@atexit.register
def _give_up() -> None:
    """End bounded runs before the process does: a thread inside ONNX Runtime would abort it."""
    until = time.monotonic() + _GIVE_UP_S
    while _bounded and time.monotonic() < until:
        for options in list(_bounded):
            options.terminate = True
        time.sleep(0.01)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Shapes change from run to run: a remembered memory plan is wrong more often than right, and
    # the arena would keep the largest batch ever seen.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
