"""One inference request on tensors, and the ways in which its rows become steps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from app.core.errors import InvalidInput, RnnserveError
from app.core.limits import Limits
from app.core.schema import Request
from app.core.tensor import Tensor
from app.service.deployment import Deployment
from app.sessions.schema import StatelessRequest
from app.sessions.service import SessionService
from app.sessions.steps.calls import StepCall
from app.tasks.streaming import Output

OFF = "sessions are turned off on this server, and with them"

T = TypeVar("T")
ParametersT_co = TypeVar("ParametersT_co", bound=Request, covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class TensorCall(Generic[ParametersT_co]):
    """What was asked.

    Attributes:
        deployment: who answers.
        tensors: the inputs, by name.
        parameters: the task's own.
        outputs: the names of those that were asked for; ``None`` leaves them to the task.
        owner: whose sessions it may touch.
    """

    deployment: Deployment
    tensors: dict[str, Tensor]
    parameters: ParametersT_co
    outputs: tuple[str, ...] | None
    owner: str

    @property
    def model(self) -> str:
        """``name@version`` of the deployment."""
        return self.deployment.manifest.reference

    def wants(self, names: Iterable[str], *, usual: bool) -> bool:
        """Whether one of these outputs is asked for, or usual when none are."""
        return usual if self.outputs is None else any(name in self.outputs for name in names)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a sequence a call is.

    Attributes:
        id: of its session.
        seq: 1 for the first call of a sequence, else ``None``.
    """

    id: str
    seq: int | None


class Rows:
    """Runs rows of events as steps.

    Args:
        sessions: apply steps; ``None`` where sessions are turned off.
        limits: of the rows.
    """

    def __init__(self, sessions: SessionService | None, limits: Limits) -> None:
        self._sessions = sessions
        self._limits = limits

    async def unstored(
        self, call: TensorCall[Request], rows: Sequence[Any], options: dict[str, Any]
    ) -> list[list[Output]]:
        """The outputs of each step of each row, every row from its start; nothing is stored.

        Raises:
            InvalidInput: there are too many rows, or the server has no sessions.
        """
        if self._sessions is None:
            raise InvalidInput("outputs", f"{OFF} the outputs step_...")
        if len(rows) > self._limits.max_texts:
            raise InvalidInput(
                "inputs",
                f"outputs of each step are given for at most {self._limits.max_texts} rows, got {len(rows)}",
                allowed={"max": self._limits.max_texts},
            )
        states = self._sessions.states
        answers = await together(
            states.stateless(
                StatelessRequest.model_construct(
                    model=call.model, task=None, options=options, state=None, inputs=row
                )
            )
            for row in rows
        )
        return [answer.outputs for answer in answers]

    async def stored(self, call: TensorCall[Request], row: Any, place: Place) -> list[list[Output]]:
        """The outputs of each step of a row that becomes part of a session, as a batch of one.

        Raises:
            RnnserveError: the steps were not applied.
        """
        (outcome,) = await self.sessions.steps([StepCall(place.id, row, place.seq)], call.owner)
        if isinstance(outcome, RnnserveError):
            raise outcome
        outputs: list[Output] = orjson.loads(outcome)["outputs"]
        return [outputs]

    @property
    def sessions(self) -> SessionService:
        """What keeps sequences.

        Raises:
            InvalidInput: sessions are turned off.
        """
        if self._sessions is None:
            raise InvalidInput("sequence_id", f"{OFF} sequences")
        return self._sessions


def only(rows: Sequence[T]) -> T:
    """The row of a sequence's request.

    Raises:
        InvalidInput: there are several.
    """
    if len(rows) != 1:
        raise InvalidInput("inputs", f"a request of a sequence has a batch of 1, not of {len(rows)}")
    return rows[0]


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; when one fails, the others are cancelled before its error is raised."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
