"""The task of the tests on one bundle: a whole input is read, and tokens are written that attend to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.errors import InvalidInput, over_limit
from app.core.sequence import (
    BlockRequest,
    Encoded,
    Event,
    Failed,
    Feedback,
    Finished,
    Read,
    Sampling,
    SequenceRequest,
    Source,
    Tokens,
)
from app.tasks.model import Prepared, StreamStart, Summary
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output
from app.tasks.tensor_table import ANY, TensorInput, TensorOutput, TensorTable
from tests.recall.schema import (
    DoneFrame,
    ForcedAnswer,
    ForcedRequest,
    RecallAnswer,
    RecallLimits,
    RecallRequest,
    RecallSpec,
    TokensFrame,
)
from tests.recall.searching import Search


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedForced(Prepared):
    """Nothing more than what runs."""


class RecallAssembler:
    """Tokens to frames."""

    event_id = None

    def __init__(self, model: str, num: int) -> None:
        self._model = model
        self._left = num
        self.tokens: list[list[int]] = [[] for _ in range(num)]

    @property
    def ended(self) -> bool:
        """Whether every source has been recalled."""
        return self._left == 0

    @property
    def summary(self) -> Summary:
        """Each ended by its length."""
        return Summary(["length"] * len(self.tokens), 0, sum(map(len, self.tokens)))

    def push(self, events: Sequence[tuple[int, Event]]) -> Iterator[TokensFrame]:
        """A frame for each event with tokens."""
        for index, event in events:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Tokens):
                ids = [token.id for token in event.tokens]
                self.tokens[index] += ids
                yield TokensFrame(source=index, tokens=ids)
            elif isinstance(event, Finished):
                self._left -= 1

    def stop(self) -> Iterator[TokensFrame]:
        """Nothing is held back."""
        return iter(())

    def done(self) -> DoneFrame:
        """The last frame."""
        return DoneFrame(model=self._model)

    def answer(self, frames: Sequence[Any]) -> RecallAnswer:
        """All tokens."""
        return RecallAnswer(model=self._model, tokens=self.tokens)


class RecallSession:
    """A session has its source among its options and reads target tokens."""

    def __init__(self, model: RecallModel) -> None:
        self._model = model

    def open(self, options: Context) -> Context:
        """The source is remembered; what the encoder makes of it is not."""
        self._model.source("options.source", options.get("source"))
        return dict(options)

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """A list of tokens, one step for each."""
        ids = self._model.ids("inputs", inputs if isinstance(inputs, list) else [inputs])
        source = self._model.source("options.source", context["source"])
        return EncodedInputs(ids, tuple(range(len(ids))), context, (), source)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """The logits of each step, as they are."""
        return [[{"logits": step.tolist()} for step in call.outputs] for call in calls]


class Forced:
    """An operation of the task: blocks that begin from encoded sources."""

    def __init__(self, model: RecallModel) -> None:
        self._model = model

    def milliseconds(self, request: ForcedRequest) -> float:
        """Next to nothing."""
        return 0.0

    def prepare(self, request: ForcedRequest) -> PreparedForced:
        """One block for each target."""
        model = self._model
        sources = [model.source(f"sources.{index}", one) for index, one in enumerate(request.sources)]
        targets = [model.ids(f"targets.{index}", one) for index, one in enumerate(request.targets)]

        def begin(encoded: Sequence[Encoded]) -> list[BlockRequest]:
            return [
                BlockRequest(target[None], Read.ALL, one.row[None], attended=[one.attended])
                for target, one in zip(targets, encoded, strict=True)
            ]

        return PreparedForced(
            blocks=[], members=[[index] for index in range(len(targets))], sources=sources, begin=begin
        )

    def finish(self, prepared: PreparedForced, outputs: list[NDArray[np.float32]]) -> ForcedAnswer:
        """The logits."""
        return ForcedAnswer(model=self._model.reference, logits=[output.tolist() for output in outputs])


class RecallModel:
    """The task on one bundle."""

    def __init__(self, bundle: Bundle, limits: RecallLimits) -> None:
        self.reference = bundle.manifest.reference
        self.spec = bundle.manifest.spec_as(RecallSpec)
        self._vocabulary = self.spec.vocabulary
        assert bundle.manifest.encoder is not None
        self._encoder = bundle.manifest.encoder
        self._limits = limits
        self.session = RecallSession(self)
        self.forced = Forced(self)
        self.search = Search(self)
        self.inputs: Mapping[str, Any] = {"vocabulary": self._vocabulary}
        self.limits: Mapping[str, Any] = {"max_recalled": limits.max_recalled}
        self.tensors = TensorTable(
            inputs=(TensorInput("sources", "INT64", (ANY, ANY)),),
            outputs=(
                TensorOutput("tokens", "INT64", (ANY, ANY)),
                TensorOutput("step_tokens", "INT64", (ANY, ANY)),
            ),
            requests=lambda rows, parameters: [RecallRequest(sources=[row]) for row in rows],
        )

    def milliseconds(self, request: Any) -> float:
        """Next to nothing."""
        return 0.0

    def ids(self, field: str, value: Any) -> NDArray[np.int64]:
        """Tokens that the model knows."""
        if not value or not all(type(one) is int and 0 <= one < self._vocabulary for one in value):
            raise InvalidInput(field, f"tokens are 0 to {self._vocabulary - 1}")
        return np.array(value, np.int64)

    def source(self, field: str, value: Any) -> Source:
        """A whole input of the encoder."""
        most = self._encoder.max_length
        if most is None:
            return np.array(value, np.float32)
        ids = self.ids(field, value)
        if len(ids) > most:
            raise over_limit(field, most, f"at most {most} tokens are read, got {len(ids)}")
        return ids

    def start(self, request: RecallRequest, point: None = None) -> StreamStart:
        """One sequence for each source."""
        if request.max_tokens > self._limits.max_recalled:
            raise over_limit("max_tokens", self._limits.max_recalled, "too many")
        sources = [self.source(f"sources.{index}", one) for index, one in enumerate(request.sources)]
        steps = np.array([self.spec.start_token], np.int64)

        def begin(encoded: Sequence[Encoded]) -> list[SequenceRequest]:
            return [
                self.sequence(steps, request.max_tokens, one, one.row, request.temperature, request.seed)
                for one in encoded
            ]

        return StreamStart([], RecallAssembler(self.reference, len(sources)), sources, begin)

    def sequence(
        self,
        steps: NDArray[np.int64],
        max_tokens: int,
        encoded: Encoded,
        row: NDArray[np.float32],
        temperature: float = 0.0,
        seed: int = 0,
    ) -> SequenceRequest:
        """What attends to an encoded source."""
        ends = frozenset(() if self.spec.end_token is None else (self.spec.end_token,))
        feedback = Feedback(max_tokens, Sampling(temperature, seed=seed), ends)
        return SequenceRequest(steps, feedback=feedback, start=row, attended=encoded.attended)
