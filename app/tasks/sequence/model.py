"""Any recurrent network on one bundle: the rows of a sequence are its steps, its outputs have names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import TOKENIZER_FILE
from app.bundle.reader import Bundle
from app.core.errors import InvalidManifest, over_limit
from app.core.sequence import Read
from app.core.sequence import SequenceRequest as EngineRequest
from app.features.text import codec_of, milliseconds_to_encode
from app.tasks.model import Prepared, StreamStart, blocks_of
from app.tasks.sequence.assembler import SequenceAssembler
from app.tasks.sequence.outputs import OutputReader
from app.tasks.sequence.rows_operation import TableReading
from app.tasks.sequence.schema import SequenceAnswer, SequenceLimits, SequenceRequest, SequenceResult
from app.tasks.sequence.session import ReadingSession
from app.tasks.sequence.spec import SequenceSpec
from app.tasks.sequence.steps import Steps
from app.tasks.sequence.tensors import sequence_tensors

# About how long a row takes to be read, by its form; measured with ten columns.
_MILLISECONDS_PER_ROW = 0.002


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedSequences(Prepared):
    """``each``: whether outputs after every step are given."""

    ids: list[str | None]
    lengths: list[int]
    each: bool


class SequenceModel:
    """See :class:`app.tasks.model.AnsweringModel` and :class:`app.tasks.model.StreamingModel`.

    Raises:
        BundleError: the graph, the tokenizer and the spec do not fit.
    """

    def __init__(self, bundle: Bundle, limits: SequenceLimits) -> None:
        manifest = bundle.manifest
        self.spec = spec = manifest.spec_as(SequenceSpec)
        _check_border(bundle, spec)
        self._reference = manifest.reference
        self._limits = limits
        vocabulary = spec.vocabulary
        codec = None if vocabulary is None or bundle.tokenizer is None else codec_of(bundle, vocabulary)
        self._steps = Steps(spec, codec, limits)
        self._outputs = OutputReader(spec)
        names = [column.name for column in spec.columns]
        self.table = TableReading(self._reference, self._steps, names, limits)
        self.session = ReadingSession(self._steps, self._outputs)
        self.tensors = sequence_tensors(self._reference, spec, limits, text=codec is not None)
        self.inputs = {
            **spec.model_dump(exclude={"task"}, exclude_defaults=True),
            "read": spec.read,
            "text": codec is not None,
            "example": _example(spec, self._reference, text=codec is not None),
        }
        self.limits = {
            "max_sequences": limits.max_sequences,
            "max_rows": limits.max_rows,
            "max_text_chars": limits.max_text_chars,
        }

    def milliseconds(self, request: SequenceRequest) -> float:
        total = 0.0
        for each in request.all_sequences():
            if each.text is not None:
                total += milliseconds_to_encode(len(each.text))
            elif hasattr(each.rows, "__len__") and not isinstance(each.rows, np.ndarray):
                total += len(each.rows) * _MILLISECONDS_PER_ROW
        return total

    def prepare(self, request: SequenceRequest) -> PreparedSequences:
        steps, ids = self._read(request)
        each = self._each(request)
        blocks, members = blocks_of(steps, Read.ALL if each else Read.LAST)
        return PreparedSequences(
            blocks=blocks, members=members, ids=ids, lengths=[*map(len, steps)], each=each
        )

    def finish(self, prepared: PreparedSequences, outputs: list[NDArray[np.float32]]) -> SequenceAnswer:
        """``outputs``: of each sequence ``[steps read, total]``."""
        results: list[SequenceResult] = []
        for id, length, output in zip(prepared.ids, prepared.lengths, outputs, strict=True):
            said = self._outputs.read(output)
            results.append(
                SequenceResult.made(
                    id=id, length=length, outputs=said[-1], steps=said if prepared.each else None
                )
            )
        return SequenceAnswer.made(model=self._reference, results=results)

    def start(self, request: SequenceRequest, point: None = None) -> StreamStart:
        steps, ids = self._read(request)
        each = self._each(request)
        lengths = [*map(len, steps)]
        assembler = SequenceAssembler(self._reference, self._outputs, ids, lengths, each=each)
        read = Read.ALL if each else Read.LAST
        return StreamStart([EngineRequest(sequence, read) for sequence in steps], assembler)

    def _each(self, request: SequenceRequest) -> bool:
        return (request.read or self.spec.read) == "each"

    def _read(self, request: SequenceRequest) -> tuple[list[NDArray[np.generic]], list[str | None]]:
        """Steps and id of each sequence, within the limits."""
        sequences = request.all_sequences()
        most, most_rows = self._limits.max_sequences, self._limits.max_rows
        if len(sequences) > most:
            text = f"a request may hold at most {most} sequences, got {len(sequences)}"
            raise over_limit("sequences", most, text)
        steps: list[NDArray[np.generic]] = []
        rows = 0
        for index, each in enumerate(sequences):
            prefix = "" if request.sequences is None else f"sequences.{index}."
            if each.text is not None:
                found = self._steps.of_text(each.text, f"{prefix}text")
            else:
                found = self._steps.of_rows(each.rows, f"{prefix}rows")
            rows += len(found)
            if rows > most_rows:
                text = f"a request may hold at most {most_rows} rows in all"
                raise over_limit(f"{prefix}rows", most_rows, text)
            steps.append(found)
        return steps, [each.id for each in sequences]


def _check_border(bundle: Bundle, spec: SequenceSpec) -> None:
    manifest = bundle.manifest
    graph, shape = manifest.graph, (spec.step_width,) if spec.step_width else ()
    if graph.input.shape != shape:
        raise InvalidManifest(
            f"{manifest.reference}: a step of the graph has the shape {list(graph.input.shape)}, but that of "
            f"the spec {list(shape)}"
        )
    if len(graph.outputs) != 1 or graph.outputs[0].shape != (spec.total,):
        raise InvalidManifest(
            f"{manifest.reference}: the graph must have one output of {spec.total} numbers, in which the "
            "outputs of the spec stand side by side"
        )
    if bundle.tokenizer is not None and spec.vocabulary is None:
        raise InvalidManifest(f"{manifest.reference}: a network of numbers has no use for {TOKENIZER_FILE}")


def _example(spec: SequenceSpec, reference: str, *, text: bool) -> dict[str, Any]:
    """A request that the model takes."""
    if text:
        return {"text": "abc", "model": reference}
    if spec.vocabulary is not None:
        return {"rows": [0, 1], "model": reference}
    row: Any = {column.name: 0.0 for column in spec.columns} or [0.0] * spec.step_width
    return {"rows": [row], "model": reference}
