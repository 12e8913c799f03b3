"""From a trained network to a bundle: build the graph, prove it, write it.

The graph is written from the weights with the standard recurrent operators, not traced:
tracers specialise the time axis or unroll it. PyTorch's own answer is recorded beside it, and
nothing is written when ONNX Runtime's answer differs, whether the steps are fed at once, one
at a time, in a batch or alone.
"""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from app.bundle.manifest import (
    CARD_FILE,
    NAME_RULE,
    TOKENIZER_FILE,
    VERSION_RULE,
    GraphInput,
    GraphOutput,
    GraphSpec,
    Manifest,
    Name,
    Network,
    Parity,
    Provenance,
    Quality,
    Row,
    RowField,
    Source,
    Spec,
    Version,
)
from app.bundle.reader import Golden
from app.core.errors import BundleError, ExportError, RnnserveError
from app.runtime.session import GraphSession
from app.runtime.verify import golden_difference
from training.card import render_card
from training.cells import Cell, Nonlinearity
from training.graph import OPSET, Graph
from training.writer import pack_vectors, write_bundle

PARITY_BOUND = 1e-4
_GOLDEN_BATCH = 3
_GOLDEN_STEPS = 24


class Stack(Protocol):
    """The recurrent part of a network, as far as the manifest describes it."""

    cell: Cell
    nonlinearity: Nonlinearity
    num_layers: int
    hidden_size: int


class Weights(Protocol):
    """What has weights."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def named_buffers(self) -> Iterator[tuple[str, Tensor]]: ...


class Exportable(Weights, Protocol):
    """What a network must offer to become a bundle; the networks of the recipes do."""

    @property
    def recurrent(self) -> Stack:
        """Its recurrent layers."""

    @property
    def step_shape(self) -> tuple[int, ...]:
        """Shape of one step; empty for tokens."""

    @property
    def row_size(self) -> int:
        """Floats in the state row."""

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""

    def start_row(self) -> Tensor:
        """``[row_size]``, the row before the first step."""

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the computation as ONNX nodes: outputs by name, and the next row."""

    def __call__(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """The same computation in PyTorch: outputs by name for steps ``head_from`` on, and the next row."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""

    def eval(self) -> nn.Module:
        """Turn dropout off."""

    def cpu(self) -> nn.Module:
        """Move the weights to the CPU."""


class ExportableEncoder(Weights, Protocol):
    """What reads a whole input once, before the network of the :class:`Exportable` form makes its first step.

    That network then takes what is attended to as well, where there is anything: its ``emit`` has the further
    arguments ``attended`` and ``attended_length``, names of tensors ``[batch, length, width]`` and int64
    ``[batch]``, and its ``__call__`` the tensors themselves, behind ``head_from``. Positions from
    ``attended_length`` on are padding: they must not reach any output or row.
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a whole input of numbers; empty for tokens."""

    @property
    def max_length(self) -> int | None:
        """Tokens that an input may have; ``None`` for numbers."""

    @property
    def attended_length(self) -> int | None:
        """Positions that are attended to; ``None``: as many as the input has tokens."""

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Write the computation as ONNX nodes: the row ``[batch, row_size]``, and what is attended to.

        Args:
            g: the graph under construction.
            x: int64 tokens ``[batch, length]``, or float32 ``[batch, *input_shape]``.
            lengths: int64 ``[batch]``, of tokens; an empty name for numbers.

        Returns:
            Names of the row, and of ``[batch, length, width]``; ``None`` where nothing is attended to.
        """

    def __call__(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The same computation in PyTorch."""

    def eval(self) -> nn.Module:
        """Turn dropout off."""

    def cpu(self) -> nn.Module:
        """Move the weights to the CPU."""


def export_bundle(
    net: Exportable,
    *,
    out: Path,
    name: str,
    version: str,
    description: str,
    spec: Spec,
    provenance: Provenance,
    quality: Sequence[Quality] = (),
    files: dict[str, bytes] | None = None,
    golden_steps: NDArray[np.generic] | None = None,
    card_notes: str = "",
) -> Path:
    """Export a trained network of the :class:`Exportable` form.

    Args:
        net: the network; it is put into evaluation mode.
        out: the models folder.
        name: of the bundle, lower case.
        version: of the bundle.
        description: one sentence for people choosing a model.
        spec: what the outputs mean to the task.
        provenance: where the weights come from, see :func:`describe_run`.
        quality: measured figures with their baselines.
        files: further files by name; text tasks need ``tokenizer.json``.
        golden_steps: ``[batch, time, ...]`` steps to record; random tokens when left out.
        card_notes: Markdown for the model card: intended use, data, limits.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: ONNX Runtime's answer differs from PyTorch's, or the graph is not valid.
        BundleError: the folder cannot be written.
    """
    check_names(name, version)
    check_weights(net)
    net.eval()
    net.cpu()
    steps = _golden_tokens(net, spec) if golden_steps is None else golden_steps
    golden, start = _record(net, steps)
    graph = build_graph(net, golden)
    try:
        manifest = _manifest(net, golden, name, version, description, spec, provenance, quality)
        tokenizer = (files or {}).get(TOKENIZER_FILE)
        spec.check(manifest.graph, None if tokenizer is None else tokenizer.decode())
    except ValidationError as error:
        raise ExportError(sentence_of(error)) from error
    except BundleError as error:
        raise ExportError(f"no server would take {name!r}: {error.message}") from error
    try:
        parity = _measure_parity(GraphSession(graph, manifest), start, golden)
    except RnnserveError as error:
        raise ExportError(f"the exported graph of {name!r} does not run: {error.message}") from error
    worst = max(parity.one_shot, parity.step_by_step, parity.batched)
    if not worst <= parity.bound:
        raise ExportError(
            f"the exported graph of {name!r} differs from PyTorch by {worst:.2e}, "
            f"more than {parity.bound:.0e}; no bundle was written"
        )
    manifest = manifest.model_copy(update={"parity": parity})
    card = render_card(manifest, card_notes)
    return write_bundle(out, manifest, graph, pack_vectors(start, golden), dict(files or {}), card)


def check_names(name: str, version: str) -> None:
    """Raises ExportError for what is no name of a bundle, or of a version."""
    for field, given, kind, rule in (
        ("name", name, Name, NAME_RULE),
        ("version", version, Version, VERSION_RULE),
    ):
        try:
            TypeAdapter(kind).validate_python(given)
        except ValidationError as error:
            raise ExportError(f"{field} {given!r} cannot be used; allowed: {rule}") from error


def check_weights(net: Weights) -> None:
    """Raises ExportError, which names the first weight that is no float32, or not finite."""
    for name, value in (*net.named_parameters(), *net.named_buffers()):
        if not value.is_floating_point() and not value.is_complex():
            continue
        if value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix("torch.")
            raise ExportError(
                f"{name} is {kind}, and bundles compute in float32; call float() on the module first"
            )
        if value.is_meta:
            raise ExportError(f"{name} is on the device meta, and has no values")
        if not torch.isfinite(value).all():
            raise ExportError(
                f"{name} holds NaN or infinity: the training has diverged; export an earlier state"
            )


def sentence_of(error: ValidationError) -> str:
    """The first mistake, by its field."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def describe_run(
    command: str, seed: int, data: Sequence[Source] = (), training_seconds: float | None = None
) -> Provenance:
    """Provenance of a run on this machine: now, with the package versions that decide the result."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "onnx", "onnxruntime", "numpy")}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Provenance(
        created=now,
        command=command,
        seed=seed,
        data=tuple(data),
        packages=packages,
        training_seconds=training_seconds,
    )


def build_graph(net: Exportable, golden: Golden) -> bytes:
    """The ONNX model of a network, as bytes.

    Args:
        net: of the :class:`Exportable` form.
        golden: recorded vectors, which give the names and shapes of the outputs.

    Raises:
        ExportError: the nodes are not a valid ONNX graph.
    """
    step_shape, row_size = net.step_shape, net.row_size
    g = Graph(type(net).__name__)
    name, dtype = ("x", TensorProto.FLOAT) if step_shape else ("tokens", TensorProto.INT64)
    x = g.input(name, dtype, ["batch", "time", *step_shape])
    state = g.input("state", TensorProto.FLOAT, ["batch", row_size])
    head_from = g.input("head_from", TensorProto.INT64, [1])
    try:
        outputs, state_out = net.emit(g, x, state, head_from)
        for key, source in outputs.items():
            g.output(key, source, ["batch", "read", *golden.outputs[key].shape[2:]])
        g.output("state_out", state_out, ["batch", row_size])
        return bytes(g.model().SerializeToString())
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the network does not form a valid ONNX graph: {error}") from error


def _golden_tokens(net: Exportable, spec: Spec) -> NDArray[np.int64]:
    vocabulary = getattr(spec, "vocabulary", None)
    if net.step_shape or vocabulary is None:
        raise ExportError("golden_steps must be given for a network of numbers: random ones mean nothing")
    random = np.random.default_rng(0)
    return random.integers(0, vocabulary, (_GOLDEN_BATCH, _GOLDEN_STEPS), dtype=np.int64)


def _record(net: Exportable, steps: NDArray[np.generic]) -> tuple[Golden, NDArray[np.float32]]:
    with torch.no_grad():
        start = net.start_row().detach().float()
        outputs, rows = net(torch.from_numpy(steps.copy()), start[None].repeat(steps.shape[0], 1))
    arrays = {key: value.numpy().astype(np.float32) for key, value in outputs.items()}
    finite = all(np.isfinite(value).all() for value in (*arrays.values(), rows.numpy()))
    if not finite:
        raise ExportError("the network's outputs are not finite, so there is nothing to export")
    return Golden(steps, arrays, rows.numpy().astype(np.float32)), start.numpy()


def _measure_parity(session: GraphSession, start: NDArray[np.float32], golden: Golden) -> Parity:
    return Parity(
        bound=PARITY_BOUND,
        one_shot=golden_difference(session, start, golden, alone=True),
        step_by_step=golden_difference(session, start, golden, chunk=1, alone=True),
        batched=max(
            golden_difference(session, start, golden), golden_difference(session, start, golden, chunk=7)
        ),
    )


def _manifest(
    net: Exportable,
    golden: Golden,
    name: str,
    version: str,
    description: str,
    spec: Spec,
    provenance: Provenance,
    quality: Sequence[Quality],
) -> Manifest:
    stack, step_shape = net.recurrent, net.step_shape
    fields, offset = [], 0
    for key, shape in net.fields():
        fields.append(RowField(name=key, offset=offset, shape=shape))
        offset += int(np.prod(shape))
    return Manifest(
        name=name,
        version=version,
        description=description,
        network=Network(
            cell=stack.cell,
            nonlinearity=stack.nonlinearity if stack.cell == "rnn" else None,
            layers=stack.num_layers,
            hidden=stack.hidden_size,
            parameters=sum(parameter.numel() for parameter in net.parameters()),
        ),
        graph=GraphSpec(
            opset=OPSET,
            input=GraphInput(
                name="x" if step_shape else "tokens",
                dtype="float32" if step_shape else "int64",
                shape=step_shape,
            ),
            outputs=tuple(
                GraphOutput(name=key, shape=value.shape[2:]) for key, value in golden.outputs.items()
            ),
        ),
        row=Row(size=offset, fields=tuple(fields)),
        spec=spec,
        provenance=provenance,
        quality=tuple(quality),
        parity=Parity(bound=PARITY_BOUND, one_shot=0.0, step_by_step=0.0, batched=0.0),
        files={CARD_FILE: "0" * 64},
    )
