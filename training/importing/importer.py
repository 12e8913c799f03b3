"""From an ONNX file to a bundle of the task that serves networks of any kind."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from app.bundle.manifest import (
    CARD_FILE,
    TOKENIZER_FILE,
    Cell,
    GraphInput,
    GraphOutput,
    GraphSpec,
    Manifest,
    Network,
    Parity,
    Provenance,
    Row,
    RowField,
    Source,
)
from app.bundle.reader import Golden
from app.core.errors import ConfigurationError, ExportError, RnnserveError
from app.features.text import TextCodec
from app.runtime.session import GraphSession
from app.runtime.verify import golden_difference, replay
from app.tasks.sequence.spec import Column, NamedOutput, SequenceSpec
from training.importing.border import Border, find_border
from training.importing.card import render_card
from training.importing.layout import Layouts
from training.importing.options import ImportOptions, OutputOptions
from training.importing.probe import Original, find_layouts
from training.importing.reference import record, sample_steps
from training.importing.source import nodes_of, opset_of, read_source
from training.importing.wrap import OUTPUT, Packed, Wrapping
from training.writer import pack_vectors, write_bundle

BOUND = 1e-5
"""Largest difference from the original, relative to its largest output."""
Say = Callable[[str], None]


def import_model(options: ImportOptions, say: Say = print) -> Path:
    """Write the bundle; returns its folder.

    Args:
        options: what was told.
        say: gets a line for each guess and each finding.

    Raises:
        ConfigurationError: the options and the graph do not fit together.
        BundleError: the file is no ONNX model that a bundle can hold, or the folder cannot be written.
        ExportError: the packed graph does not say what the original says.
    """
    model = read_source(options.model)
    border = find_border(model.graph, options, say)
    original = Original(model, border)
    options = _with_vocabulary(options, model, border)
    layouts = find_layouts(original, border, options, say)
    outputs = _outputs(options, border, layouts)
    packed = Packed(model, border, layouts, options, outputs)
    spec = _spec(options, packed, layouts, outputs)
    steps = sample_steps(options, packed)
    golden = record(original, border, layouts, options, packed, outputs, steps)
    manifest = _manifest(options, packed, model, spec)
    start = np.zeros(packed.row, np.float32)
    graph, manifest = _choose(packed, layouts, options, manifest, start, golden, say)
    files = {} if options.tokenizer is None else {TOKENIZER_FILE: options.tokenizer.read_bytes()}
    return write_bundle(
        options.out, manifest, graph, pack_vectors(start, golden), files, render_card(manifest, layouts)
    )


def _choose(
    packed: Packed,
    layouts: Layouts,
    options: ImportOptions,
    manifest: Manifest,
    start: NDArray[np.float32],
    golden: Golden,
    say: Say,
) -> tuple[bytes, Manifest]:
    """The graph run as wide as it may; what its bits depend on is recorded or, with ``exact``, taken away."""
    wrapping = Wrapping(by_steps=not layouts.whole or bool(options.context), by_rows=not layouts.batched)
    while True:
        try:
            graph = packed.build(wrapping)
            session = GraphSession(graph, manifest)
            parity = _parity(session, start, golden)
        except RnnserveError as error:
            raise ExportError(f"the packed graph does not run: {error.message}") from None
        except Exception as error:  # of the checker
            raise ExportError(f"the graph cannot be packed: {str(error).splitlines()[0][:300]}") from None
        worst = max(parity.one_shot, parity.step_by_step, parity.batched)
        if not worst <= BOUND and not wrapping.by_rows:
            # Such as a graph that quantises by the largest number in the batch.
            wrapping = Wrapping(wrapping.by_steps, by_rows=True)
            continue
        if not worst <= BOUND and not wrapping.by_steps:
            wrapping = Wrapping(by_steps=True, by_rows=True)
            continue
        if not worst <= BOUND:
            raise ExportError(
                f"the packed graph differs from the original by {worst:.1e}, more than {BOUND:.0e}; "
                "no bundle was written"
            )
        depends = _depends_on(session, start, golden)
        if not options.exact or not depends:
            break
        narrower = Wrapping(wrapping.by_steps or "cut" in depends, wrapping.by_rows or "batch" in depends)
        if narrower == wrapping:
            break
        wrapping = narrower
    say(f"runs     rows {_how(wrapping.by_rows)}, steps {_how(wrapping.by_steps)}")
    say(f"checked  as the original, apart by {worst:.1e} at most")
    if depends:
        hint = "" if options.exact else "; --exact runs them one by one instead"
        say(f"note     the last bits of an answer depend on {' and '.join(depends)}{hint}")
    else:
        say("checked  the same bits however a sequence is cut and batched")
    border = manifest.graph.model_copy(update={"depends_on": depends})
    return graph, manifest.model_copy(update={"graph": border, "parity": parity})


def _how(one_by_one: bool) -> str:
    return "one by one" if one_by_one else "together"


def _parity(session: GraphSession, start: NDArray[np.float32], golden: Golden) -> Parity:
    return Parity(
        bound=10 * BOUND,
        one_shot=golden_difference(session, start, golden, alone=True),
        step_by_step=golden_difference(session, start, golden, chunk=1, alone=True),
        batched=max(
            golden_difference(session, start, golden), golden_difference(session, start, golden, chunk=7)
        ),
    )


def _depends_on(
    session: GraphSession, start: NDArray[np.float32], golden: Golden
) -> tuple[Literal["batch", "cut"], ...]:
    steps = golden.steps
    num, time = steps.shape[:2]
    whole = replay(session, start, steps, time)
    found: list[Literal["batch", "cut"]] = []
    many = np.repeat(steps, 11, axis=0)
    together = [each[::11] for each in replay(session, start, many, time)]
    alone = [
        np.concatenate(parts)
        for parts in zip(
            *(replay(session, start, steps[row : row + 1], time) for row in range(num)), strict=True
        )
    ]
    same = [_equal(whole, other) for other in (together, alone)]
    if not all(same):
        found.append("batch")
    if not all(_equal(whole, replay(session, start, steps, length)) for length in (1, 2, 5)):
        found.append("cut")
    return tuple(found)


def _equal(one: list[NDArray[np.float32]], other: list[NDArray[np.float32]]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def _with_vocabulary(options: ImportOptions, model: ModelProto, border: Border) -> ImportOptions:
    """How many tokens there are: as told, by the tokenizer, or by the table that they are looked up in."""
    if not (border.tokens or options.one_hot) or options.vocabulary is not None:
        return options
    if border.tokens:
        tables = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if len(tensor.dims) == 2}
        for node in nodes_of(model.graph):
            if node.op_type == "Gather" and node.input[1] == border.steps.name and node.input[0] in tables:
                return options.model_copy(update={"vocabulary": int(tables[node.input[0]])})
    if options.tokenizer is not None:
        return options.model_copy(update={"vocabulary": _codec(options.tokenizer).size})
    if options.one_hot and border.steps.shape and isinstance(border.steps.shape[-1], int):
        return options.model_copy(update={"vocabulary": border.steps.shape[-1]})
    raise ConfigurationError("--vocabulary: how many tokens does the network know?")


def _codec(path: Path) -> TextCodec:
    try:
        return TextCodec(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--tokenizer: cannot read {str(path)!r}: {error}") from error


def _outputs(options: ImportOptions, border: Border, layouts: Layouts) -> tuple[OutputOptions, ...]:
    """What is said of each output; labels alone are those of the first."""
    said = {each.graph: each for each in options.outputs}
    labels = options.label_names()
    found = []
    for index, tensor in enumerate(border.outputs):
        each = said.get(tensor.name, OutputOptions(graph=tensor.name))
        if index == 0 and labels and not each.labels:
            each = each.model_copy(update={"labels": labels, "scores": options.scores or each.scores})
        size = layouts.outputs[index].size
        if each.labels and len(each.labels) != size and (len(each.labels), size) != (2, 1):
            raise ConfigurationError(
                f"--labels: {len(each.labels)} labels, but the output {tensor.name!r} has {size} numbers"
            )
        found.append(each)
    return tuple(found)


def _spec(
    options: ImportOptions, packed: Packed, layouts: Layouts, outputs: tuple[OutputOptions, ...]
) -> SequenceSpec:
    if options.columns and len(options.columns) != packed.width:
        raise ConfigurationError(
            f"--columns: {len(options.columns)} names, but a step has {packed.width} numbers"
        )
    columns = [Column(name=each.name, unit=each.unit, missing=each.missing) for each in options.columns]
    try:
        return SequenceSpec(
            columns=tuple(columns),
            width=None if packed.tokens or columns else packed.width,
            vocabulary=options.vocabulary if packed.tokens else None,
            outputs=tuple(
                NamedOutput(
                    name=each.name or each.graph,
                    size=layout.size,
                    labels=each.labels,
                    scores=each.scores or "logits",
                    columns=each.columns,
                    unit=each.unit,
                )
                for each, layout in zip(outputs, layouts.outputs, strict=True)
            ),
            read=options.read,
        )
    except ValueError as error:
        raise ConfigurationError(f"the outputs do not fit: {error}") from error


def _manifest(options: ImportOptions, packed: Packed, model: ModelProto, spec: SequenceSpec) -> Manifest:
    kinds = [node.op_type for node in nodes_of(model.graph)]
    known: tuple[Cell, ...] = ("lstm", "gru", "rnn")
    cell = max(known, key=lambda each: kinds.count(each.upper()))
    layers = kinds.count(cell.upper())
    fields, offset = [], 0
    for name, dims in packed.fields:
        size = int(np.prod(dims))
        fields.append(RowField(name=name[:64], offset=offset, shape=dims or (1,)))
        offset += size
    data = options.model.read_bytes()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Manifest(
        name=options.name,
        version=options.version,
        description=options.description or f"Imported from {options.model.name}."[:500],
        network=Network(
            cell=cell if layers else "other",
            layers=max(1, layers),
            hidden=max(dims[-1] if dims else 1 for _, dims in packed.fields),
            parameters=max(1, _parameters(model)),
        ),
        graph=GraphSpec(
            opset=opset_of(model),
            input=GraphInput(
                name="tokens" if packed.tokens else "x",
                dtype="int64" if packed.tokens else "float32",
                shape=() if packed.tokens else (packed.width,),
            ),
            outputs=(GraphOutput(name=OUTPUT, shape=(packed.total,)),),
        ),
        row=Row(size=offset, fields=tuple(fields)),
        spec=spec,
        provenance=Provenance(
            created=now,
            command="rnnserve models import",
            seed=0,
            data=(Source(name=options.model.name, sha256=hashlib.sha256(data).hexdigest()),),
            packages={name: importlib.metadata.version(name) for name in ("onnx", "onnxruntime", "numpy")},
        ),
        parity=Parity(bound=10 * BOUND, one_shot=0.0, step_by_step=0.0, batched=0.0),
        files={CARD_FILE: "0" * 64},
    )


def _parameters(model: ModelProto) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if len(tensor.dims) > 0)
