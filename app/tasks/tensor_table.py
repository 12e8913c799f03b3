"""What a model says of its tensors in the Open Inference Protocol. The protocol does the rest.

    tensor --rows--> requests of the task ------------------> an answer for each row --> outputs
                 +-> inputs of session steps --> outputs of each step ----------------> outputs ``step_...``

A row is a text, or a list of numbers, or of lists of them, in which ``None`` stands for NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.core.schema import Request

Row = Any
Datatype = Literal["BYTES", "FP32", "FP64", "INT32", "INT64"]
ANY = -1
STEP = "step_"
DTYPES: dict[str, np.dtype[Any]] = {
    "BYTES": np.dtype(object),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
}
"""What each is in memory, and, but for ``BYTES``, on the wire. Elements of ``BYTES`` are Python ``bytes``."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named array of the dtype that :data:`DTYPES` gives, and what its elements mean."""

    name: str
    datatype: Datatype
    array: NDArray[Any]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model: the first axis is the batch, and :data:`ANY` any size."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorInput(TensorSpec):
    """A tensor whose rows are read: texts ``[batch]`` of BYTES, or numbers ``[batch, time, ...]``.

    Attributes:
        also: further datatypes that are read.
        optional: may be given in place of the first input.
        by_steps: no request of the task has such rows, so they are always read step by step.
        largest: greatest magnitude of a number.
    """

    also: tuple[Datatype, ...] = ()
    optional: bool = False
    by_steps: bool = False
    largest: float | None = None


@dataclass(frozen=True, slots=True)
class TensorOutput(TensorSpec):
    """A tensor with one entry for the answer of each row; ``step_...``: one for each step of each row.

    Attributes:
        of: picks the entry from an answer; left out, the attribute of this name, or of a step the entry of
            this name without ``step_``.
        about: what its elements mean, told by the first such answer.
        if_asked: given only to a request that names it.
    """

    of: Callable[[Any], Any] | None = None
    about: Callable[[Any], Mapping[str, str]] = lambda answer: {}
    if_asked: bool = False

    @property
    def each_step(self) -> bool:
        return self.name.startswith(STEP)

    def tensor(self, rows: Sequence[Any]) -> Tensor:
        """The tensor of an answer, or of a list of them, for each row; ``None`` is NaN."""
        values: list[Any]
        if self.each_step:
            part = self.of or itemgetter(self.name.removeprefix(STEP))
            first, values = rows[0][0], [[*map(part, row)] for row in rows]
        else:
            part = self.of or attrgetter(self.name)
            first, values = rows[0], [*map(part, rows)]
        if self.datatype == "BYTES":
            values = _encoded(values)
        return Tensor(self.name, self.datatype, np.asarray(values, DTYPES[self.datatype]), self.about(first))


def _encoded(values: list[Any]) -> list[Any]:
    return [value.encode() if isinstance(value, str) else _encoded(value) for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class FromState:
    """How a session's action gives the outputs of a whole row.

    Attributes:
        action: its name.
        fields: ``(row, parameters, seq) -> fields of its request``; raises InvalidInput for what the action
            would refuse, before anything is fed.
        answer: ``(answer of the action) -> answer of the row``.
        instead: for an action that feeds the row itself, so that there are no outputs ``step_...``: what it
            gives, for people. Other rows are fed before the action.
        asked: ``(parameters) ->`` whether these outputs are wanted by a request that names none.
    """

    action: str
    fields: Callable[[Row, Any, int | None], dict[str, Any]]
    answer: Callable[[Any], Any]
    instead: str = ""
    asked: Callable[[Any], bool] = lambda parameters: True


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorTable:
    """A model's tensors.

    Attributes:
        inputs: of which a request has one.
        outputs: in the order in which they are given where none are asked for.
        parameters: class of the parameters that a request may have.
        meaning: of the outputs, for people.
        requests: ``(rows, parameters) -> requests`` of the task, one for all rows or one for each; raises
            InvalidInput. ``None`` where rows are only read step by step.
        answers: ``(answer to a request) -> answers`` of its rows.
        last: ``(last output of a row) -> answer of the row``, where it is one.
        from_state: ``None`` where no action of a session gives one.
        options: ``(parameters) -> options`` of the session that a sequence opens.
        max_rows: of a request that is read step by step.
    """

    inputs: tuple[TensorInput, ...]
    outputs: tuple[TensorOutput, ...]
    parameters: type[Request] = Request
    meaning: Mapping[str, str | int] = field(default_factory=dict)
    requests: Callable[[Sequence[Row], Any], list[Any]] | None = None
    answers: Callable[[Any], Sequence[Any]] = lambda answer: [answer]
    last: Callable[[dict[str, Any]], Any] | None = None
    from_state: FromState | None = None
    options: Callable[[Any], dict[str, Any]] = lambda parameters: {}
    max_rows: int = 1_000
