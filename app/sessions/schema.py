"""``/sessions``: recurrent state that outlives the connection, the process and the machine."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from annotated_types import MaxLen
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, create_model

from app.core.errors import over_limit
from app.core.problem import ProblemDetail
from app.core.schema import Answer, ModelReference, Request, Seq
from app.sessions.portable import MAX_CHARS
from app.sessions.record import ID

SessionId = Annotated[
    str,
    StringConstraints(pattern=rf"^{ID.pattern}$"),
    Field(description="letters, digits, `.`, `_`, `~`, `-`; an unguessable one is made when left out"),
]
SnapshotName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$")]
TtlSeconds = Annotated[
    float, Field(gt=0, description="ends after so long without a write; the server's limit holds")
]
PortableText = Annotated[str, Field(max_length=MAX_CHARS, description="a downloaded state")]

ModelT = TypeVar("ModelT", bound=BaseModel)


def of_tasks(model: type[ModelT], names: tuple[str, ...]) -> type[ModelT]:
    """A request class whose ``task`` is one of these."""
    field = model.model_fields["task"]
    definition: Any = (Literal[names] | None, field)
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, task=definition)


class CreateSession(Request):
    """Open a session, at its start or from a downloaded state.

    ``options`` are the task's: a forecaster has ``freq``, ``season`` and ``start``.
    """

    model: ModelReference = None
    task: str | None = Field(default=None, description="its default model, when `model` is left out")
    id: SessionId | None = None
    ttl_seconds: TtlSeconds | None = None
    metadata: dict[str, Any] = Field(default_factory=dict, description="comes back with the session")
    options: dict[str, Any] = Field(default_factory=dict)
    state: PortableText | None = None


class SessionInfo(Answer):
    """A session, without its state."""

    id: str
    model: str
    task: str | None = Field(description="null while its model is not served")
    step: int = Field(description="steps applied so far; the next call's `seq` is one more")
    created_at: str
    updated_at: str
    expires_at: str
    metadata: dict[str, Any]


class PageQuery(BaseModel):
    """The query of ``GET /sessions``, read from text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: str = Field(default="", max_length=128, description="`next` of the page before")
    limit: int = Field(default=100, ge=1, le=2**31 - 1, description="the server's own limit holds")


class SessionPage(Answer):
    """Sessions in the order of their ids."""

    sessions: list[SessionInfo]
    next: str | None = Field(description="pass as `after` for the next page; null on the last")


class StepRequest(Request):
    """One call: one or many steps, applied whole or not at all.

    ``inputs`` are in the task's own terms. Forecaster: a number, null, ``{"value", "time"}``, or a
    list of these. Text models: a text, or a list of token ids.
    """

    seq: Seq | None = Field(
        default=None, description="with it, exactly once, however often it is sent; without, at most once"
    )
    inputs: Any


class SessionStep(StepRequest):
    """A call on one of many sessions."""

    id: str = Field(max_length=128)


class StepsRequest(Request):
    """Calls on many sessions, each answered on its own."""

    most: ClassVar[int] = 2**31
    steps: list[SessionStep] = Field(min_length=1, fail_fast=True)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        too_many = over_limit("steps", cls.most, f"at most {cls.most} calls go together")
        if isinstance(json_data, bytes) and json_data.count(b'"inputs":') > cls.most:
            raise too_many  # the parser would first make a tree of them all
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            if error.error_count() == 1 and error.errors(include_input=False)[0]["type"] == "too_long":
                raise too_many from error
            raise


def of_at_most(most: int) -> type[StepsRequest]:
    """A request of at most so many calls, of which no more are read."""
    field = copy(StepsRequest.model_fields["steps"])
    field.metadata = [*field.metadata, MaxLen(most)]
    definition: Any = (field.annotation, field)
    bounded = create_model(
        "StepsRequest", __base__=StepsRequest, __doc__=StepsRequest.__doc__, steps=definition
    )
    bounded.most = most
    return bounded


class StepAnswer(Answer):
    """What a call brought."""

    seq: int = Field(description="number of the first step it wrote")
    step: int = Field(description="steps applied so far")
    outputs: list[dict[str, Any]] = Field(description="one per step, in the task's own terms")


class SessionStepResult(Answer):
    """The outcome of one of many calls: the answer's fields, or ``error`` as an HTTP problem."""

    id: str
    seq: int | None = Field(default=None, description="with an error, as it was sent")
    step: int | None = None
    outputs: list[dict[str, Any]] | None = None
    error: ProblemDetail | None = None


class StepsAnswer(Answer):
    """Outcomes in the order of the calls."""

    results: list[SessionStepResult]


class ForkRequest(Request):
    """An independent copy from the present state."""

    id: SessionId | None = None
    ttl_seconds: TtlSeconds | None = None
    metadata: dict[str, Any] | None = Field(default=None, description="left out, the original's")


class SnapshotRequest(Request):
    """Keep the present state under a name."""

    name: SnapshotName | None = Field(default=None, description="left out, `step-` and the step")


class SnapshotInfo(Answer):
    """A kept state."""

    name: str
    step: int
    automatic: bool
    created_at: str


class SnapshotList(Answer):
    """The snapshots of a session, oldest first."""

    snapshots: list[SnapshotInfo]


class RewindRequest(Request):
    """Go back to a snapshot, by name or by its step; 0 is the start."""

    to: Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=0)]


class MigrateRequest(Request):
    """Go on with another version of the model."""

    model: Annotated[str, Field(max_length=97)]


class StateAnswer(Answer):
    """A portable state: versioned, bound to the model's graph, signed."""

    model: str
    step: int
    state: str


class RowQuery(BaseModel):
    """The query of ``GET /sessions/{id}/row``, read from text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: Annotated[str, Field(max_length=4096)] = Field(
        default="", description="names of fields, by commas; left out, all of them"
    )


class RowField(Answer):
    """A named part of the state row."""

    name: str
    shape: list[int]
    values: list[float] = Field(description="to seven digits; the last axis runs fastest")


class SessionRow(Answer):
    """The numbers of a session's state, by the names that the model gives them."""

    model: str
    step: int
    fields: list[RowField] = Field(
        description="as `state` of `GET /models/{name}`; empty before the first step"
    )


class StatelessRequest(Request):
    """Steps on a state that the client carries; without ``state`` they start anew."""

    model: ModelReference = None
    task: str | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="when there is no state yet")
    state: PortableText | None = None
    inputs: Any


class StatelessAnswer(Answer):
    """Outputs, and the state to send with the next request."""

    model: str
    step: int
    outputs: list[dict[str, Any]]
    state: str
