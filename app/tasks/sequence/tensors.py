"""Sequences as tensors: ``x [batch, time, columns]``, ``tokens [batch, time]`` or ``text [batch]`` in.

Each output is a tensor of its own: ``NAME [batch, size]``, of a class ``NAME_label [batch]`` and
``NAME_scores [batch, labels]``; with ``step_`` before it, the same after each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from app.tasks.sequence.schema import (
    LARGEST_VALUE,
    OneSequence,
    SequenceLimits,
    SequenceRequest,
    SequenceResult,
)
from app.tasks.sequence.spec import NamedOutput, SequenceSpec
from app.tasks.tensor_table import ANY, STEP, Row, TensorInput, TensorOutput, TensorTable


def sequence_tensors(
    reference: str, spec: SequenceSpec, limits: SequenceLimits, *, text: bool
) -> TensorTable:
    def requests(rows: Sequence[Row], parameters: object) -> list[SequenceRequest]:
        kind = "text" if rows and isinstance(rows[0], str) else "rows"
        each = [
            OneSequence.model_construct(**{"id": None, "rows": None, "text": None, kind: row}) for row in rows
        ]
        return [
            SequenceRequest.model_construct(
                rows=None, text=None, sequences=each, read="last", stream=False, model=reference
            )
        ]

    def last(step: dict[str, Any]) -> SequenceResult:
        return SequenceResult.model_construct(id=None, length=0, outputs=step, steps=None)

    return TensorTable(
        inputs=_inputs(spec, text=text),
        outputs=tuple(tensor for output in spec.outputs for tensor in _outputs(output)),
        meaning={"columns": orjson.dumps([column.name for column in spec.columns]).decode()},
        requests=requests,
        answers=lambda answer: answer.results,
        last=last,
        max_rows=limits.max_sequences,
    )


def _inputs(spec: SequenceSpec, *, text: bool) -> tuple[TensorInput, ...]:
    if spec.vocabulary is None:
        shape = (ANY, ANY, spec.step_width)
        return (TensorInput("x", "FP32", shape, also=("FP64",), largest=LARGEST_VALUE),)
    tokens = TensorInput("tokens", "INT64", (ANY, ANY), also=("INT32",), optional=text)
    return (TensorInput("text", "BYTES", (ANY,)), tokens) if text else (tokens,)


def _outputs(output: NamedOutput) -> list[TensorOutput]:
    """Of the last step, then of each."""
    name, labels = output.name, output.labels
    if labels:
        about = {"labels": orjson.dumps(labels).decode()}
        return [
            *_both(f"{name}_label", "BYTES", (), lambda value: value["label"], {}, name),
            *_both(
                f"{name}_scores",
                "FP32",
                (len(labels),),
                lambda value: [*value["scores"].values()],
                about,
                name,
            ),
        ]
    about = {"columns": orjson.dumps(output.columns).decode()} if output.columns else {}
    return _both(name, "FP32", (output.size,), _numbers, about, name)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else [value]


def _both(
    name: str,
    datatype: Any,
    shape: tuple[int, ...],
    of: Callable[[Any], Any],
    about: dict[str, str],
    output: str,
) -> list[TensorOutput]:
    return [
        TensorOutput(
            name, datatype, (ANY, *shape), of=lambda result: of(result.outputs[output]), about=lambda _: about
        ),
        TensorOutput(
            f"{STEP}{name}",
            datatype,
            (ANY, ANY, *shape),
            of=lambda step: of(step[output]),
            about=lambda _: about,
        ),
    ]
