"""Loaded graphs. The only import of onnxruntime; its exceptions end here."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.bundle.manifest import EncoderSpec, Manifest
from app.core.errors import DeviceUnavailable, InvalidManifest, RunFailed
from app.runtime.attended import Attended

Device = Literal["cpu", "cuda"]

_PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_GIVE_UP_S = 2.0
_DTYPES: dict[str, str] = {"int64": "tensor(int64)", "float32": "tensor(float)"}


class _Session:
    """A graph on a device; raises DeviceUnavailable, or InvalidManifest where its border is another.

    One thread inside one run is the fastest for small recurrent networks, and the only number for which the
    bits never depend on the batch.
    """

    def __init__(self, graph: bytes, name: str, device: Device, threads: int, border: Border) -> None:
        """``name``: of the graph, for people."""
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
            raise InvalidManifest(f"{name} cannot be loaded: {error}") from error
        if provider not in self._session.get_providers():
            raise DeviceUnavailable(
                f"device {device!r} was asked for, but {provider} did not start; see the log"
            )
        # It keeps the graph's bytes to begin anew on another device, which is never wanted here.
        self._session.disable_fallback()
        self._session._model_bytes = None
        self.device: Device = device
        self._run_options: ort.RunOptions | None = None
        self._check_border(name, border)

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

    def _check_border(self, name: str, border: Border) -> None:
        for kind, nodes, wanted in (
            ("input", self._session.get_inputs(), border[0]),
            ("output", self._session.get_outputs(), border[1]),
        ):
            actual = {node.name: (node.type, node.shape) for node in nodes}
            if set(actual) != set(wanted):
                raise InvalidManifest(
                    f"{name}: {kind}s are {sorted(actual)}, the manifest says {sorted(wanted)}"
                )
            for tensor, (dtype, num_dynamic, shape) in wanted.items():
                got_dtype, got_shape = actual[tensor]
                got = [axis if isinstance(axis, int) else None for axis in got_shape[num_dynamic:]]
                if got_dtype != _DTYPES[dtype] or len(got_shape) < num_dynamic or got != shape:
                    raise InvalidManifest(
                        f"{name}: {kind} {tensor!r} is {got_dtype} {got_shape}, "
                        f"the manifest says {_DTYPES[dtype]} with trailing axes {shape}"
                    )


class GraphSession(_Session):
    """The graph that makes steps; raises as :class:`_Session`."""

    def __init__(self, graph: bytes, manifest: Manifest, device: Device = "cpu", threads: int = 1) -> None:
        super().__init__(
            graph, f"{manifest.reference}: the graph", device, threads, _border_of_steps(manifest)
        )
        self.dtype = np.dtype(manifest.graph.input.dtype)
        self.attended = manifest.attended
        self._input = manifest.graph.input.name
        self.output_names = tuple(output.name for output in manifest.graph.outputs)
        self._fetches = [*self.output_names, "state_out"]
        self._outputs = manifest.graph.outputs
        self.by_position = tuple(
            index for index, output in enumerate(manifest.graph.outputs) if output.by_position
        )

    def empty_outputs(
        self, rows: int, count: int, attended: Attended | None = None
    ) -> list[NDArray[np.float32]]:
        """Arrays for the outputs of ``count`` steps of ``rows`` sequences, to be filled."""
        positions = () if attended is None else attended.values.shape[1:2]
        return [
            np.empty((rows, count, *output.shape, *(positions if output.by_position else ())), np.float32)
            for output in self._outputs
        ]

    def run(
        self,
        steps: NDArray[np.generic],
        state: NDArray[np.float32],
        head_from: int,
        attended: Attended | None = None,
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """Outputs in manifest order and next rows, of steps ``[batch, time, ...]`` and rows ``[n, S]``.

        ``attended`` is needed by a graph that attends, and by no other.
        """
        feeds = {self._input: steps, "state": state, "head_from": np.array([head_from], np.int64)}
        if attended is not None:
            feeds["attended"], feeds["attended_length"] = attended
        try:
            *outputs, state_out = self._session.run(self._fetches, feeds, self._run_options)
        except Exception as error:
            raise RunFailed(f"ONNX Runtime: {error}") from error
        return outputs, state_out


class EncoderSession(_Session):
    """The graph that reads whole inputs; raises as :class:`_Session`."""

    def __init__(self, graph: bytes, manifest: Manifest, device: Device = "cpu", threads: int = 1) -> None:
        if manifest.encoder is None:
            raise InvalidManifest(f"{manifest.reference}: the manifest describes no encoder")
        self.spec = manifest.encoder
        border = _border_of_inputs(self.spec, manifest.row.size)
        super().__init__(graph, f"{manifest.reference}: the encoder", device, threads, border)
        self.dtype = np.dtype(self.spec.input.dtype)
        self._fetches = list(border[1])
        self._row_size = manifest.row.size

    def empty(self, num: int, length: int) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """What :meth:`run` gives, without meaning, for ``num`` inputs of ``length`` tokens."""
        rows, spec = np.zeros((num, self._row_size), np.float32), self.spec.attended
        shape = [] if spec is None else [(num, spec.length or length, spec.width)]
        return rows, [np.zeros(each, np.float32) for each in shape]

    def run(
        self, inputs: NDArray[np.generic], lengths: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Rows ``[n, S]`` of whole inputs, and what is attended to ``[n, L, C]``, if anything.

        ``lengths`` int64 ``[n]`` are those of tokens ``[n, T]``.
        """
        feeds: dict[str, NDArray[np.generic]] = {self.spec.input.name: inputs}
        if self.spec.max_length is not None:
            assert lengths is not None
            feeds["lengths"] = lengths
        try:
            rows, *attended = self._session.run(self._fetches, feeds, self._run_options)
        except Exception as error:
            raise RunFailed(f"ONNX Runtime: {error}") from error
        return rows, attended


def likeliest(logits: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The ``count`` likeliest tokens of each row, the likeliest first; ties go to the lower id.

    Of ``[rows, vocabulary]``, log-probabilities ``[rows, count]`` and ids ``[rows, count]``. NumPy takes four
    times as long.
    """
    feeds = {"logits": logits, "count": np.array([count], np.int64)}
    try:
        logprobs, ids = _likeliest().run(None, feeds)
    except Exception as error:
        raise RunFailed(f"ONNX Runtime: {error}") from error
    return logprobs, ids


@cache
def _likeliest() -> ort.InferenceSession:
    """LogSoftmax and TopK, written by ``python -m tests.likeliest``; any number of threads may use it."""
    graph = Path(__file__).with_name("likeliest.onnx").read_bytes()
    return ort.InferenceSession(graph, _options(1), providers=["CPUExecutionProvider"])


Tensors = dict[str, tuple[str, int, Sequence[int | None]]]
"""By name: the element type, how many axes come first whose size is free, and those behind; None is free."""
Border = tuple[Tensors, Tensors]
"""Inputs and outputs."""


def _border_of_steps(manifest: Manifest) -> Border:
    step, row = manifest.graph.input, [manifest.row.size]
    inputs: Tensors = {
        step.name: (step.dtype, 2, list(step.shape)),
        "state": ("float32", 1, row),
        "head_from": ("int64", 0, [1]),
    }
    if manifest.attended is not None:
        inputs |= {"attended": ("float32", 2, [manifest.attended.width]), "attended_length": ("int64", 1, [])}
    outputs: Tensors = {
        output.name: ("float32", 2, [*output.shape, *([None] * output.by_position)])
        for output in manifest.graph.outputs
    }
    return inputs, {**outputs, "state_out": ("float32", 1, row)}


def _border_of_inputs(spec: EncoderSpec, row_size: int) -> Border:
    tokens = spec.max_length is not None
    inputs: Tensors = {spec.input.name: (spec.input.dtype, 2 if tokens else 1, list(spec.input.shape))}
    if tokens:
        inputs["lengths"] = ("int64", 1, [])
    outputs: Tensors = {"state": ("float32", 1, [row_size])}
    if spec.attended is not None:
        outputs["attended"] = ("float32", 2, [spec.attended.width])
    return inputs, outputs


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
