"""One model's rows answered at once, or fed to a sequence, as its table of tensors says."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from app.core.errors import InvalidInput, RnnserveError
from app.service.call import Timing
from app.service.catalog import Deployment
from app.service.inference import InferenceService
from app.sessions.schema import StatelessRequest
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.tasks.tensor_table import Row, Tensor, TensorInput, TensorTable

OFF = "sessions are turned off on this server, and with them"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class TensorCall:
    """``rows`` are of the input ``source``; without names ``asked`` the model chooses its outputs."""

    deployment: Deployment
    table: TensorTable
    source: TensorInput
    rows: list[Row]
    parameters: Any
    asked: tuple[str, ...]
    owner: str

    def wants(self, *, steps: bool, usual: bool) -> bool:
        """Whether outputs ``step_...``, or others, are asked for; ``usual`` where none is named at all."""
        if not self.asked:
            return usual
        return any(spec.name in self.asked for spec in self.table.outputs if spec.each_step is steps)

    def tensors(self, rows: Sequence[Any], *, steps: bool) -> list[Tensor]:
        specs = [spec for spec in self.table.outputs if spec.each_step is steps]
        return [spec.tensor(rows) for spec in specs if spec.name in self.asked or not spec.if_asked]


Feed = tuple[Row | None, dict[str, Any] | None]
"""What is fed to a sequence as steps, if anything; and the fields of its action's request, if any."""


class TensorRuns:
    """Runs requests on tensors; ``sessions`` is ``None`` where they are turned off."""

    def __init__(self, inference: InferenceService, sessions: SessionService | None) -> None:
        self._inference = inference
        self._sessions = sessions

    @property
    def sessions(self) -> SessionService:
        if self._sessions is None:
            raise InvalidInput("sequence_id", f"{OFF} sequences")
        return self._sessions

    async def once(self, call: TensorCall) -> tuple[list[Tensor], Timing | None]:
        """Answer every row by itself; nothing is kept."""
        table = call.table
        requests = None if call.source.by_steps else table.requests
        tensors: list[Tensor] = []
        timing = None
        if requests is not None and call.wants(steps=False, usual=True):
            task = call.deployment.task
            made = requests(call.rows, call.parameters)
            answered = await _together(self._inference.answer(task, request) for request in made)
            rows = [row for answer, _ in answered for row in table.answers(answer)]
            timing = max((timing for _, timing in answered), key=lambda timing: timing.total_s)
            tensors += call.tensors(rows, steps=False)
        wants_steps = call.wants(steps=True, usual=requests is None and table.last is None)
        if requests is None or wants_steps:
            outputs = await self._unstored(call)
            if requests is None and table.last is not None:
                tensors += call.tensors([table.last(row[-1]) for row in outputs], steps=False)
            if wants_steps:
                if len({len(row) for row in outputs}) > 1:
                    raise InvalidInput(
                        "outputs",
                        "the rows have different numbers of tokens, so the outputs step_... have no common "
                        "shape; ask for them a row at a time",
                    )
                tensors += call.tensors(outputs, steps=True)
        return tensors, timing

    def plan(self, call: TensorCall, seq: int | None) -> Feed:
        """What a request does to its sequence; refuses what :meth:`step` would, before anything is fed."""
        state, options = call.table.from_state, call.table.options(call.parameters)
        if options and seq is None:
            raise InvalidInput(next(iter(options)), f"{', '.join(options)}: only at the start of a sequence")
        if len(call.rows) != 1:
            raise InvalidInput("inputs", f"a request of a sequence has a batch of 1, not of {len(call.rows)}")
        (row,) = call.rows
        wanted = state is not None and call.wants(steps=False, usual=state.asked(call.parameters))
        if state is None or (state.instead and not wanted):
            return row, None
        fields = state.fields(row, call.parameters, seq)
        if not state.instead:
            return row, fields if wanted else None
        if call.wants(steps=True, usual=False):
            raise InvalidInput(
                "outputs",
                "in a sequence one request gives either the outputs step_... of what it feeds, "
                f"or {state.instead}",
                allowed=[spec.name for spec in call.table.outputs if not spec.each_step],
            )
        return None, fields

    async def step(self, call: TensorCall, feed: Feed, session: str, seq: int | None) -> list[Tensor]:
        """Feed a session; where that fails it is as it was, unless the row was fed and its action failed."""
        table, (row, fields) = call.table, feed
        tensors: list[Tensor] = []
        if row is not None:
            (outcome,) = await self.sessions.steps([StepCall(session, row, seq)], call.owner)
            if isinstance(outcome, RnnserveError):
                raise outcome
            outputs = orjson.loads(outcome)["outputs"]
            if table.last is not None:
                tensors += call.tensors([table.last(outputs[-1])], steps=False)
            tensors += call.tensors([outputs], steps=True)
        if fields is not None and table.from_state is not None:
            state, actions = table.from_state, call.deployment.task.actions
            action = next(action for action in actions if action.name == state.action)
            request = action.request.model_construct(**fields)
            said = await self.sessions.actions.answer(session, action, request, call.owner)
            answer = action.answer.model_validate_json(said)
            tensors += call.tensors([state.answer(answer)], steps=False)
        return tensors

    async def _unstored(self, call: TensorCall) -> list[list[dict[str, Any]]]:
        """The outputs of each step of each row, every row from its start."""
        if self._sessions is None:
            raise InvalidInput("outputs", f"{OFF} the outputs step_...")
        most = call.table.max_rows
        if len(call.rows) > most:
            raise InvalidInput(
                "inputs",
                f"outputs of each step are given for at most {most} rows, got {len(call.rows)}",
                allowed={"max": most},
            )
        model, options = call.deployment.manifest.reference, call.table.options(call.parameters)
        requests = [
            StatelessRequest.model_construct(model=model, options=options, inputs=row) for row in call.rows
        ]
        answers = await _together(self._sessions.states.stateless(request) for request in requests)
        return [answer.outputs for answer in answers]


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; when one fails, the others are cancelled before its error is raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
