"""The encoder of a bundle: its graph, its vectors, and the proof that no bit depends on a neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from app.bundle.manifest import AttendedSpec, EncoderSpec, GraphInput
from app.bundle.reader import GoldenSources
from app.core.errors import ExportError
from app.runtime.bits import differing_inputs, differing_steps
from app.runtime.session import EncoderSession, GraphSession
from app.runtime.verify import replay_sources
from training.exportable import ExportableEncoder
from training.graph import OPSET, Graph

_TRIAL_LENGTHS = (1, 2, 3, 5, 20, 50, 100)
"""Of inputs that the bits are tried with: short ones, and those that reach other kernels."""
_TRIAL_STEPS = 12


@dataclass(frozen=True, slots=True)
class RecordedEncoder:
    """An encoder as it is written: its section of the manifest, its graph, and what it made of inputs."""

    spec: EncoderSpec
    graph: bytes
    sources: GoldenSources


def record_encoder(
    encoder: ExportableEncoder, row_size: int, inputs: Sequence[NDArray[np.generic]]
) -> RecordedEncoder:
    """Run an encoder in PyTorch on whole inputs, each alone, and write its graph.

    Raises:
        ExportError: an input is longer than it takes, or of another shape; what it makes is not finite; or
            the nodes are no valid ONNX graph.
    """
    encoder.eval()
    encoder.cpu()
    sources = _record(encoder, inputs)
    if sources.rows.shape[1] != row_size:
        raise ExportError(
            f"the encoder gives rows of {sources.rows.shape[1]}, and the network has {row_size}"
        )
    tokens = encoder.max_length is not None
    attended = None
    if sources.attended is not None:
        attended = AttendedSpec(width=sources.attended.shape[2], length=encoder.attended_length)
    spec = EncoderSpec(
        opset=OPSET,
        input=GraphInput(
            name="tokens" if tokens else "x",
            dtype="int64" if tokens else "float32",
            shape=encoder.input_shape,
        ),
        max_length=encoder.max_length,
        attended=attended,
    )
    return RecordedEncoder(spec, _build(encoder, spec, row_size), sources)


def _build(encoder: ExportableEncoder, spec: EncoderSpec, row_size: int) -> bytes:
    g = Graph(type(encoder).__name__)
    if spec.max_length is not None:
        x = g.input("tokens", TensorProto.INT64, ["batch", "length"])
        lengths = g.input("lengths", TensorProto.INT64, ["batch"])
    else:
        x, lengths = g.input("x", TensorProto.FLOAT, ["batch", *spec.input.shape]), ""
    try:
        state, attended = encoder.emit(g, x, lengths)
        g.output("state", state, ["batch", row_size])
        if attended is not None and spec.attended is not None:
            g.output("attended", attended, ["batch", "positions", spec.attended.width])
        return bytes(g.model().SerializeToString())
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the encoder does not form a valid ONNX graph: {error}") from error


def _record(encoder: ExportableEncoder, inputs: Sequence[NDArray[np.generic]]) -> GoldenSources:
    most = encoder.max_length
    for one in inputs:
        if most is not None and not (one.ndim == 1 and 1 <= len(one) <= most):
            raise ExportError(f"an input is {list(one.shape)}; the encoder takes 1 to {most} tokens")
        if most is None and one.shape != tuple(encoder.input_shape):
            raise ExportError(f"an input is {list(one.shape)}; the encoder takes {list(encoder.input_shape)}")
    rows: list[NDArray[np.float32]] = []
    arrays: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for one in inputs:
            lengths = None if most is None else torch.tensor([len(one)])
            row, attended = encoder(torch.from_numpy(one[None].copy()), lengths)
            rows.append(row[0].numpy().astype(np.float32))
            if attended is not None:
                arrays.append(attended[0].numpy().astype(np.float32))
    if not all(np.isfinite(array).all() for array in (*rows, *arrays)):
        raise ExportError("what the encoder makes of its inputs is not finite")
    longest = max(len(one) for one in inputs)
    lengths_of = None if most is None else np.array([len(one) for one in inputs], np.int64)
    return GoldenSources(
        np.stack(inputs) if most is None else np.stack([_padded(one, longest) for one in inputs]),
        lengths_of,
        np.stack(rows),
        np.stack([_padded(one, max(map(len, arrays))) for one in arrays]) if arrays else None,
    )


def _padded(array: NDArray[np.generic], length: int) -> NDArray[np.generic]:
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


def check_bits(
    session: GraphSession, encoder: EncoderSession, sources: GoldenSources, steps: NDArray[np.generic]
) -> None:
    """Try both graphs in batches, cuts and paddings of many sizes.

    Args:
        session: of the steps.
        encoder: of the inputs.
        sources: that were recorded.
        steps: ``[batch, time, ...]`` that were recorded.

    Raises:
        ExportError: the bits of a row depend on what it runs with; names the combination.
    """
    trial = _trial(sources, encoder.spec.max_length)
    differing = differing_inputs(encoder, trial)
    if differing is not None:
        raise ExportError(f"the encoder gives other bits for {differing} than for each input alone")
    encoded = replay_sources(encoder, trial, alone=True).encoded()
    tried = np.resize(steps[:, :_TRIAL_STEPS], (len(encoded), *steps[:, :_TRIAL_STEPS].shape[1:]))
    differing = differing_steps(session, encoded[0].row, tried, encoded)
    if differing is not None:
        raise ExportError(
            f"the graph gives other bits for {differing} than for each sequence alone; attention keeps them "
            "with 128 dimensions at most, never one query row, and a finite mask (training.attention)"
        )


def _trial(sources: GoldenSources, max_length: int | None) -> GoldenSources:
    """Inputs of many lengths, made of those that were recorded."""
    if sources.lengths is None or max_length is None:
        return sources
    lengths = sorted({min(length, max_length) for length in (*_TRIAL_LENGTHS, max_length)})
    whole = [row[:length] for row, length in zip(sources.inputs, sources.lengths, strict=True)]
    inputs = [
        _padded(np.resize(whole[index % len(whole)], length), lengths[-1])
        for index, length in enumerate(lengths)
    ]
    shape = (len(lengths), lengths[-1])
    attended = sources.attended
    return replace(
        sources,
        inputs=np.stack(inputs),
        lengths=np.array(lengths, np.int64),
        rows=np.zeros((len(lengths), sources.rows.shape[1]), np.float32),
        attended=None if attended is None else np.zeros((*_positions(attended, shape),), np.float32),
    )


def _positions(attended: NDArray[np.float32], shape: tuple[int, int]) -> tuple[int, int, int]:
    return (*shape, attended.shape[2])
