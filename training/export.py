"""From a trained network to a bundle: build the graph, prove it, write it.

The graph is written from the weights with the standard recurrent operators, not traced:
tracers specialise the time axis or unroll it. PyTorch's own answer is recorded beside it, and
nothing is written when ONNX Runtime's answer differs, whether the steps are fed at once, one
at a time, in a batch or alone.
"""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from app.bundle.manifest import (
    CARD_FILE,
    ENCODER_FILE,
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
from app.bundle.reader import Golden, GoldenSources
from app.core.errors import BundleError, ExportError, RnnserveError
from app.runtime.session import EncoderSession, GraphSession
from app.runtime.verify import encoder_difference, golden_difference, replay_sources
from training.card import render_card
from training.encoder_export import check_bits, record_encoder
from training.exportable import Exportable, ExportableEncoder, by_position, check_weights
from training.graph import OPSET, Graph
from training.writer import pack_vectors, write_bundle

PARITY_BOUND = 1e-4
_GOLDEN_BATCH = 3
_GOLDEN_STEPS = 24


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
    encoder: ExportableEncoder | None = None,
    golden_inputs: Sequence[NDArray[np.generic]] = (),
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
        encoder: what reads a whole input before the network's first step, if anything does.
        golden_inputs: of the encoder, one for each sequence of ``golden_steps``: tokens ``[length]``, or
            numbers.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: ONNX Runtime's answer differs from PyTorch's, or the graph is not valid; with an encoder,
            the bits of a row depend on what it runs with.
        BundleError: the folder cannot be written.
    """
    check_names(name, version)
    check_weights(net)
    net.eval()
    net.cpu()
    steps = _golden_tokens(net, spec) if golden_steps is None else golden_steps
    recorded = None
    if encoder is not None:
        check_weights(encoder)
        if len(golden_inputs) != len(steps):
            raise ExportError(f"golden_inputs must be {len(steps)}, one for each sequence of golden_steps")
        recorded = record_encoder(encoder, net.row_size, golden_inputs)
    golden, start = _record(net, steps, None if recorded is None else recorded.sources)
    graph = build_graph(net, golden)
    try:
        manifest = _manifest(net, encoder, golden, name, version, description, spec, provenance, quality)
        if recorded is not None:
            manifest = manifest.model_copy(update={"encoder": recorded.spec})
        tokenizer = (files or {}).get(TOKENIZER_FILE)
        spec.check(manifest.graph, None if tokenizer is None else tokenizer.decode())
    except ValidationError as error:
        raise ExportError(sentence_of(error)) from error
    except BundleError as error:
        raise ExportError(f"no server would take {name!r}: {error.message}") from error
    try:
        session = GraphSession(graph, manifest)
        parity = _measure_parity(session, start, golden)
        if recorded is not None and golden.sources is not None:
            of_inputs = EncoderSession(recorded.graph, manifest)
            parity = _with_encoder(parity, of_inputs, session, start, golden)
            check_bits(session, of_inputs, golden.sources, golden.steps)
    except ExportError:
        raise
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
    others = dict(files or {})
    if recorded is not None:
        others[ENCODER_FILE] = recorded.graph
    return write_bundle(out, manifest, graph, pack_vectors(start, golden), others, card)


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
    beside: list[str] = []
    if golden.sources is not None and golden.sources.attended is not None:
        width = golden.sources.attended.shape[2]
        beside = [
            g.input("attended", TensorProto.FLOAT, ["batch", "positions", width]),
            g.input("attended_length", TensorProto.INT64, ["batch"]),
        ]
    emit: Callable[..., tuple[dict[str, str], str]] = net.emit
    try:
        outputs, state_out = emit(g, x, state, head_from, *beside)
        for key, source in outputs.items():
            shape = golden.outputs[key].shape[2:]
            last = ["positions"] if key in by_position(net) else shape[-1:]
            g.output(key, source, ["batch", "read", *shape[:-1], *last])
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


def _record(
    net: Exportable, steps: NDArray[np.generic], sources: GoldenSources | None = None
) -> tuple[Golden, NDArray[np.float32]]:
    advance: Callable[..., tuple[dict[str, Tensor], Tensor]] = net
    beside: list[Tensor] = []
    with torch.no_grad():
        start = net.start_row().detach().float()
        state = start[None].repeat(steps.shape[0], 1)
        if sources is not None:
            state = torch.from_numpy(sources.rows)
            if sources.attended is not None:
                lengths = [len(each.attended) for each in sources.encoded() if each.attended is not None]
                beside = [torch.from_numpy(sources.attended), torch.tensor(lengths)]
        outputs, rows = advance(torch.from_numpy(steps.copy()), state, 0, *beside)
    arrays = {key: value.numpy().astype(np.float32) for key, value in outputs.items()}
    finite = all(np.isfinite(value).all() for value in (*arrays.values(), rows.numpy()))
    if not finite:
        raise ExportError("the network's outputs are not finite, so there is nothing to export")
    return Golden(steps, arrays, rows.numpy().astype(np.float32), sources), start.numpy()


def _measure_parity(session: GraphSession, start: NDArray[np.float32], golden: Golden) -> Parity:
    return Parity(
        bound=PARITY_BOUND,
        one_shot=golden_difference(session, start, golden, alone=True),
        step_by_step=golden_difference(session, start, golden, chunk=1, alone=True),
        batched=max(
            golden_difference(session, start, golden), golden_difference(session, start, golden, chunk=7)
        ),
    )


def _with_encoder(
    parity: Parity,
    encoder: EncoderSession,
    session: GraphSession,
    start: NDArray[np.float32],
    golden: Golden,
) -> Parity:
    """The same with the encoder, alone and together, and with the steps behind what it gives."""
    assert golden.sources is not None
    joined = replace(golden, sources=replay_sources(encoder, golden.sources))
    alone = encoder_difference(encoder, golden.sources, alone=True)
    together = encoder_difference(encoder, golden.sources)
    batched = max(parity.batched, together, golden_difference(session, start, joined))
    return parity.model_copy(update={"one_shot": max(parity.one_shot, alone), "batched": batched})


def _parameters(net: Exportable, encoder: ExportableEncoder | None) -> set[nn.Parameter]:
    """Of both; the two may share some."""
    return {*net.parameters(), *(() if encoder is None else encoder.parameters())}


def _manifest(
    net: Exportable,
    encoder: ExportableEncoder | None,
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
            parameters=sum(each.numel() for each in _parameters(net, encoder)),
        ),
        graph=GraphSpec(
            opset=OPSET,
            input=GraphInput(
                name="x" if step_shape else "tokens",
                dtype="float32" if step_shape else "int64",
                shape=step_shape,
            ),
            outputs=tuple(
                GraphOutput(
                    name=key,
                    shape=value.shape[2:-1] if key in by_position(net) else value.shape[2:],
                    by_position=key in by_position(net),
                )
                for key, value in golden.outputs.items()
            ),
        ),
        row=Row(size=offset, fields=tuple(fields)),
        spec=spec,
        provenance=provenance,
        quality=tuple(quality),
        parity=Parity(bound=PARITY_BOUND, one_shot=0.0, step_by_step=0.0, batched=0.0),
        files={CARD_FILE: "0" * 64},
    )
