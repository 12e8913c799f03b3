"""What a model says of its tensors in the Open Inference Protocol. The protocol does the rest.

    tensor --rows--> requests of the task ------------------> an answer for each row --> outputs
                 +-> inputs of session steps --> outputs of each step ----------------> outputs ``step_...``

A row is a text, or a list of numbers in which ``None`` stands for NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.schema import Request
from app.core.tensor import TensorInput, TensorOutput

Row = Any


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
