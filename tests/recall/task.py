"""A task of the tests' own: a whole input is read, and tokens are written that attend to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel

from app.core.sequence import (
    Encoded,
    SequenceRequest,
)
from app.tasks.model import StreamStart
from app.tasks.session import SessionAction, SessionView
from app.tasks.task import Load, Operation, Task
from tests.recall.model import RecallAssembler, RecallModel
from tests.recall.schema import (
    ContinueRequest,
    DoneFrame,
    ForcedAnswer,
    ForcedRequest,
    RecallAnswer,
    RecallLimits,
    RecallRequest,
    RecallSpec,
    SessionDone,
    SessionTokens,
    TokensFrame,
)
from tests.recall.searching import SearchAnswer, SearchRequest


def _continue(model: RecallModel, view: SessionView, request: ContinueRequest, point: None) -> StreamStart:
    source = model.source("options.source", view.context["source"])

    def begin(encoded: Sequence[Encoded]) -> list[SequenceRequest]:
        row = encoded[0].row if view.row is None else view.row
        steps = np.array([model.spec.start_token], np.int64)
        return [model.sequence(steps, request.max_tokens, encoded[0], row)]

    return StreamStart([], RecallAssembler(model.reference, 1), [source], begin)


def _kept(assembler: Any) -> list[Any]:
    return [0, *assembler.tokens[0][:-1]]


def _ending(said: BaseModel, step: int) -> BaseModel:
    kind = SessionDone if isinstance(said, DoneFrame) else SessionTokens
    return kind.model_construct(**dict(said), step=step)


TASK = Task(
    name="recall",
    doc="Tokens that attend to a source.",
    spec=RecallSpec,
    limits=RecallLimits,
    open=RecallModel,
    request=RecallRequest,
    answer=RecallAnswer,
    frames=(TokensFrame, DoneFrame),
    default_model="recall",
    examples={"one": {"summary": "One source", "value": {"sources": [[1, 2, 3]]}}},
    actions=(
        SessionAction(
            name="recall",
            request=ContinueRequest,
            answer=SessionTokens,
            doc="Tokens from the state.",
            frames=(TokensFrame, SessionDone),
            start=_continue,
            kept=_kept,
            ending=_ending,
            lacking="recalls nothing",
        ),
    ),
    operations=(
        Operation(
            path="/recall/forced",
            doc="The logits of given targets.",
            request=ForcedRequest,
            answer=ForcedAnswer,
            of=lambda model: model.forced,
            examples={"one": {"summary": "One", "value": {"sources": [[1, 2]], "targets": [[0, 3]]}}},
        ),
        Operation(
            path="/recall/search",
            doc="The likeliest targets.",
            request=SearchRequest,
            answer=SearchAnswer,
            of=lambda model: model.search,
            examples={"one": {"summary": "One", "value": {"sources": [[1, 2]]}}},
        ),
    ),
    step_examples={"token": {"summary": "A token", "value": {"inputs": 1}}},
    load=Load(
        body=lambda chance, options: {"sources": [[chance.randint(1, 9) for _ in range(8)]]},
        answered=b'"tokens"',
        inputs=lambda number: b"[%d]" % (number % 7),
    ),
)
