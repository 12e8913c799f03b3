"""A task of the tests' own: bits in, their running parity out. All of it is this file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.bundle.manifest import Spec
from app.bundle.reader import Bundle
from app.core.errors import InvalidInput
from app.core.limits import TaskLimits
from app.core.schema import Answer, ModelReference, Request
from app.core.sequence import (
    BlockRequest,
    BlockResult,
    Event,
    Failed,
    Finished,
    Outputs,
    Read,
    SequenceRequest,
)
from app.tasks.model import Prepared, StreamStart, Summary
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output
from app.tasks.task import Load, Operation, Task
from app.tasks.tensor_table import ANY, TensorInput, TensorOutput, TensorTable


class ParitySpec(Spec):
    """There is nothing to say."""

    task: Literal["parity"] = "parity"


class ParityLimits(TaskLimits):
    """How many bits."""

    max_bits: int = Field(1000, ge=1, le=10_000, description="bits in one request")


class ParityRequest(Request):
    """Bits in order."""

    bits: list[int] = Field(min_length=1)
    stream: bool = False
    model: ModelReference = None


class ParityAnswer(Answer):
    """The parity after each bit."""

    model: str
    parities: list[int]


class EchoRequest(Request):
    """Bits in order, and how often the parity is fed back behind them."""

    bits: list[int] = Field(min_length=1)
    times: int = Field(ge=1, le=100)
    model: ModelReference = None


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedEcho(Prepared):
    """The parities that were fed back."""

    fed: list[int]


class Echo:
    """An operation of the task: it runs in rounds, each from where the one before ended."""

    def __init__(self, reference: str) -> None:
        self._reference = reference

    def milliseconds(self, request: EchoRequest) -> float:
        """Next to nothing."""
        return 0.0

    def prepare(self, request: EchoRequest) -> PreparedEcho:
        """The bits first, then one at a time."""
        fed: list[int] = []

        def further(results: Sequence[BlockResult]) -> list[BlockRequest]:
            if len(fed) == request.times:
                return []
            fed.extend(_bits(results[0].outputs[0]))
            return [BlockRequest(np.array([fed[-1:]], np.int64), Read.LAST, results[0].rows)]

        bits = np.array([_checked("bits", request.bits)], np.int64)
        return PreparedEcho(blocks=[BlockRequest(bits, Read.LAST)], members=[[0]], further=further, fed=fed)

    def finish(self, prepared: PreparedEcho, outputs: list[NDArray[np.float32]]) -> ParityAnswer:
        """What was fed back."""
        return ParityAnswer(model=self._reference, parities=prepared.fed)


class BitsFrame(Answer):
    """The parities after some further bits."""

    type: Literal["bits"] = "bits"
    parities: list[int]


class DoneFrame(Answer):
    """The parity of all bits."""

    type: Literal["done"] = "done"
    parity: int
    model: str


class ParityAssembler:
    """Outputs of the network to frames."""

    event_id = None

    def __init__(self, model: str, length: int) -> None:
        self._model = model
        self._length = length
        self._last = 0
        self.ended = False

    @property
    def summary(self) -> Summary:
        """One sequence of bits."""
        return Summary(["complete"], self._length, 0)

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[BitsFrame]:
        """A frame for each piece that the engine has read."""
        for _, event in events:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Outputs):
                parities = _bits(event.values[0])
                self._last = parities[-1]
                yield BitsFrame(parities=parities)
            elif isinstance(event, Finished):
                self.ended = True

    def stop(self) -> Iterator[BitsFrame]:
        """Nothing is held back."""
        return iter(())

    def done(self) -> DoneFrame:
        """The last parity."""
        return DoneFrame(parity=self._last, model=self._model)

    def answer(self, frames: Sequence[Any]) -> ParityAnswer:
        """All parities."""
        parities = [bit for frame in frames[:-1] for bit in frame.parities]
        return ParityAnswer(model=self._model, parities=parities)


class ParitySession:
    """A session reads bits and says the parity of all that it has read."""

    def open(self, options: Context) -> Context:
        """There are no options."""
        return {}

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """A list of bits, one step for each."""
        bits = _checked("inputs", inputs if isinstance(inputs, list) else [inputs])
        return EncodedInputs(np.array(bits, np.int64), tuple(range(len(bits))), context, bits)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """The parity after each bit."""
        return [[{"parity": parity} for parity in _bits(call.outputs)] for call in calls]


class ParityModel:
    """The task on one bundle."""

    def __init__(self, bundle: Bundle, limits: ParityLimits) -> None:
        bundle.manifest.spec_as(ParitySpec)
        self._reference = bundle.manifest.reference
        self._limits = limits
        self.session = ParitySession()
        self.echo = Echo(self._reference)
        self.inputs: Mapping[str, Any] = {"bits": [0, 1]}
        self.limits: Mapping[str, Any] = {"max_bits": limits.max_bits}
        self.tensors = TensorTable(
            inputs=(TensorInput("bits", "INT64", (ANY, ANY)),),
            outputs=(
                TensorOutput("parities", "INT64", (ANY, ANY)),
                TensorOutput("step_parity", "INT64", (ANY, ANY)),
            ),
            requests=lambda rows, parameters: [ParityRequest(bits=row) for row in rows],
        )

    def milliseconds(self, request: ParityRequest) -> float:
        """Next to nothing."""
        return 0.0

    def start(self, request: ParityRequest, point: None = None) -> StreamStart:
        """One sequence, whose every step is read."""
        if len(request.bits) > self._limits.max_bits:
            raise InvalidInput("bits", f"at most {self._limits.max_bits} bits", allowed=self._limits.max_bits)
        bits = np.array(_checked("bits", request.bits), np.int64)
        return StreamStart([SequenceRequest(bits, Read.ALL)], ParityAssembler(self._reference, len(bits)))


def _checked(field: str, bits: list[Any]) -> list[int]:
    for index, bit in enumerate(bits):
        if type(bit) is not int or bit not in (0, 1):
            raise InvalidInput(f"{field}.{index}", "a bit is 0 or 1", allowed=[0, 1])
    return bits


def _bits(outputs: NDArray[np.float32]) -> list[int]:
    return [int(value) for value in outputs.reshape(-1).round()]


TASK = Task(
    name="parity",
    doc="The running parity of bits.",
    spec=ParitySpec,
    limits=ParityLimits,
    open=ParityModel,
    request=ParityRequest,
    answer=ParityAnswer,
    frames=(BitsFrame, DoneFrame),
    default_model="parity",
    examples={"three": {"summary": "Three bits", "value": {"bits": [1, 0, 1]}}},
    operations=(
        Operation(
            path="/parity/echo",
            doc="The parity, fed back.",
            request=EchoRequest,
            answer=ParityAnswer,
            of=lambda model: model.echo,
            examples={"twice": {"summary": "Twice", "value": {"bits": [1, 1, 1], "times": 2}}},
        ),
    ),
    step_examples={"bit": {"summary": "A bit", "value": {"inputs": 1}}},
    load=Load(
        body=lambda chance, options: {"bits": [chance.randint(0, 1) for _ in range(20)]},
        answered=b'"parities"',
        inputs=lambda number: b"[%d]" % (number % 2),
    ),
)
