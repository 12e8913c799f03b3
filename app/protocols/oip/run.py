"""One model's rows answered at once, or fed to a sequence, as its table of tensors says.

rows --at_once--> requests of the task ---> outputs
     --session steps--> outputs step_... -> last --> outputs
     --from_state: a session's action ----> outputs
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from app.core.errors import InvalidInput, RnnserveError
from app.core.tensor import Tensor, TensorInput, TensorOutput
from app.protocols.oip.rows import only
from app.service.call import Timing
from app.service.deployment import Deployment
from app.service.inference import InferenceService
from app.sessions.schema import StatelessRequest
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.tasks.tensor_table import Row, TensorTable

OFF = "sessions are turned off on this server, and with them"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class TensorCall:
    """An inference request.

    Attributes:
        deployment: who answers.
        source: the input that was given.
        rows: of it.
        parameters: the model's own.
        asked: names of outputs; empty leaves them to the model.
        owner: whose sessions it may touch.
    """

    deployment: Deployment
    source: TensorInput
    rows: list[Row]
    parameters: Any
    asked: tuple[str, ...]
    owner: str

    @property
    def table(self) -> TensorTable:
        table: TensorTable = self.deployment.model.tensors
        return table

    def wants(self, outputs: Iterable[TensorOutput], *, usual: bool) -> bool:
        """Whether one of the outputs is asked for; ``usual`` where none is named at all."""
        return any(output.name in self.asked for output in outputs) if self.asked else usual


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """What a request does to its sequence.

    Attributes:
        row: is fed as steps; ``None`` where the action feeds it.
        action: fields of its request; ``None`` where its outputs are not wanted.
    """

    row: Row | None
    action: dict[str, Any] | None


class TensorRuns:
    """Runs requests on tensors.

    Args:
        inference: the served models.
        sessions: apply steps; ``None`` where they are turned off.
    """

    def __init__(self, inference: InferenceService, sessions: SessionService | None) -> None:
        self._inference = inference
        self._sessions = sessions

    @property
    def sessions(self) -> SessionService:
        """What keeps sequences.

        Raises:
            InvalidInput: sessions are turned off.
        """
        if self._sessions is None:
            raise InvalidInput("sequence_id", f"{OFF} sequences")
        return self._sessions

    async def once(self, call: TensorCall) -> tuple[list[Tensor], Timing | None]:
        """Answer every row by itself; nothing is kept."""
        table = call.table
        whole, each = _parted(table.outputs)
        at_once = None if call.source.by_steps else table.at_once
        tensors: list[Tensor] = []
        timing = None
        if at_once is not None and call.wants(whole, usual=True):
            task = call.deployment.task
            requests = at_once.requests(call.rows, call.parameters)
            answered = await _together(self._inference.answer(task, request) for request in requests)
            answers = [each for answer, _ in answered for each in at_once.answers(answer)]
            timing = max((timing for _, timing in answered), key=lambda timing: timing.total_s)
            tensors += _tensors(whole, answers)
        wants_each = call.wants(each, usual=at_once is None and table.last is None)
        if at_once is None or wants_each:
            steps = await self._unstored(call)
            if at_once is None and table.last is not None:
                tensors += _tensors(whole, [table.last(row[-1]) for row in steps])
            if wants_each:
                _check_lengths(steps)
                tensors += _tensors(each, steps)
        return tensors, timing

    def plan(self, call: TensorCall, seq: int | None) -> Feed:
        """What a request of a sequence does; ``seq`` is 1 for the first one.

        Raises:
            InvalidInput: what :meth:`step` would refuse, before anything is fed.
        """
        table = call.table
        options = table.options(call.parameters)
        if options and seq is None:
            raise InvalidInput(next(iter(options)), f"{', '.join(options)}: only at the start of a sequence")
        row = only(call.rows)
        state = table.from_state
        if state is None:
            return Feed(row, None)
        whole, each = _parted(table.outputs)
        wanted = call.wants(whole, usual=state.asked(call.parameters))
        if not state.instead:
            fields = state.fields(row, call.parameters, seq)
            return Feed(row, fields if wanted else None)
        if not wanted:
            return Feed(row, None)
        fields = state.fields(row, call.parameters, seq)
        if call.wants(each, usual=False):
            raise InvalidInput(
                "outputs",
                "in a sequence one request gives either the outputs step_... of what it feeds, "
                f"or {state.instead}",
                allowed=[output.name for output in whole],
            )
        return Feed(None, fields)

    async def step(self, call: TensorCall, feed: Feed, session: str, seq: int | None) -> list[Tensor]:
        """Feed a session.

        Raises:
            RnnserveError: the session is as it was, unless its action failed after the row was fed.
        """
        table = call.table
        whole, each = _parted(table.outputs)
        tensors: list[Tensor] = []
        if feed.row is not None:
            (outcome,) = await self.sessions.steps([StepCall(session, feed.row, seq)], call.owner)
            if isinstance(outcome, RnnserveError):
                raise outcome
            steps = orjson.loads(outcome)["outputs"]
            if table.last is not None:
                tensors += _tensors(whole, [table.last(steps[-1])])
            tensors += _tensors(each, [steps])
        if feed.action is not None and table.from_state is not None:
            state, actions = table.from_state, call.deployment.task.actions
            action = next(action for action in actions if action.name == state.action)
            request = action.request.model_construct(**feed.action)
            said = await self.sessions.actions.answer(session, action, request, call.owner)
            tensors += _tensors(whole, [state.answer(action.answer.model_validate_json(said))])
        return tensors

    async def _unstored(self, call: TensorCall) -> list[list[dict[str, Any]]]:
        """The outputs of each step of each row, every row from its start."""
        table, states = call.table, None if self._sessions is None else self._sessions.states
        if states is None:
            raise InvalidInput("outputs", f"{OFF} the outputs step_...")
        if len(call.rows) > table.max_rows:
            raise InvalidInput(
                "inputs",
                f"outputs of each step are given for at most {table.max_rows} rows, got {len(call.rows)}",
                allowed={"max": table.max_rows},
            )
        model, options = call.deployment.manifest.reference, table.options(call.parameters)
        answers = await _together(
            states.stateless(StatelessRequest.model_construct(model=model, options=options, inputs=row))
            for row in call.rows
        )
        return [answer.outputs for answer in answers]


def _parted(outputs: Sequence[TensorOutput]) -> tuple[list[TensorOutput], list[TensorOutput]]:
    """Those of a whole row, and those of each step."""
    whole = [output for output in outputs if not output.each_step]
    return whole, [output for output in outputs if output.each_step]


def _tensors(outputs: Sequence[TensorOutput], rows: Sequence[Any]) -> list[Tensor]:
    return [output.tensor(rows) for output in outputs]


def _check_lengths(rows: Sequence[Sequence[Any]]) -> None:
    if len({len(row) for row in rows}) > 1:
        raise InvalidInput(
            "outputs",
            "the rows have different numbers of tokens, so the outputs step_... have no common shape; "
            "ask for them a row at a time",
        )


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; when one fails, the others are cancelled before its error is raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
