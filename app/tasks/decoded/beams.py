"""Texts about whole inputs: what requests for them have in common, from the request to the text.

BeamOptions + Encoded --Decoder.search--> BeamRequest --engine--> hypotheses --> texts with scores
                                               `--streamed--> SequenceRequest --engine--> events, see draft.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.beam import BeamRequest, Hypothesis
from app.core.errors import InvalidInput, over_limit
from app.core.numbers import rounded
from app.core.repeats import Repeats
from app.core.schema import Answer, ModelReference
from app.core.sequence import Encoded, Feedback, FinishReason, Sampling, SequenceRequest
from app.features.text import TextCodec, TextLimits
from app.tasks.decoded.schema import Usage

BEAMS = 4
HARD_MAX_BEAMS = 64
HARD_MAX_TOKENS = 4096
Ending = Literal["end", "length", "stopped"]
"""``end``: the text is over; ``length``: max_tokens reached; ``stopped``: by the client."""
ENDINGS: dict[FinishReason, Ending] = {FinishReason.END: "end", FinishReason.LENGTH: "length"}

Beams = Annotated[
    int | None,
    Field(
        ge=1,
        le=HARD_MAX_BEAMS,
        description=f"hypotheses of a text that advance together; left out, {BEAMS}, of a stream 1",
    ),
]
LengthPenalty = Annotated[
    float, Field(ge=0, le=5, description="exponent of Wu et al. 2016: more than 1 prefers long ones")
]
NoRepeat = Annotated[
    int, Field(ge=0, le=100, description="so many tokens in a row occur once in a text; 0: at will")
]
MaxTokens = Annotated[int | None, Field(ge=1, le=HARD_MAX_TOKENS)]


class BeamLimits(TextLimits):
    max_beams: int = Field(16, ge=1, le=HARD_MAX_BEAMS, description="beams of one text")


class BeamOptions(BaseModel):
    """How a text is looked for. Tasks give the defaults of the penalty and of repetition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beams: Beams = None
    n: int = Field(default=1, ge=1, le=HARD_MAX_BEAMS, description="the best texts, at most `beams`")
    length_penalty: LengthPenalty
    no_repeat_ngram: NoRepeat
    min_tokens: int = Field(
        default=0, ge=0, le=HARD_MAX_TOKENS, description="of a text, before which it does not end"
    )
    max_tokens: MaxTokens = None
    stream: bool = Field(default=False, description="answer with server-sent events")
    model: ModelReference = None

    @property
    def width(self) -> int:
        return self.beams or (1 if self.stream else max(BEAMS, self.n))

    @model_validator(mode="after")
    def _fits(self) -> BeamOptions:
        if self.n > self.width:
            text = f"{self.width} beams do not bring {self.n} texts; ask for more beams"
            raise InvalidInput("n", text, allowed={"max": self.width})
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            text = f"a text of at most {self.max_tokens} tokens has no {self.min_tokens}"
            raise InvalidInput("min_tokens", text, allowed={"max": self.max_tokens})
        return self


class OtherText(Answer):
    """Another text, less likely."""

    text: str
    score: float


def check_beams(asked: BeamOptions, limits: BeamLimits) -> None:
    """Raises InvalidInput."""
    most = limits.max_beams
    if asked.width > most:
        raise over_limit("beams", most, f"at most {most} beams, got {asked.width}")


def check_stream(asked: BeamOptions) -> None:
    """Raises InvalidInput where more is asked for than a stream has."""
    for field in ("beams", "n"):
        if getattr(asked, field) not in (None, 1):
            text = "a stream goes word by word, and between texts is decided at the end; ask for one of both"
            raise InvalidInput(field, text, allowed={"max": 1})


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """Tokens of one model: ``starts`` begin its texts and ``end`` ends them; none of them is in a text."""

    codec: TextCodec
    starts: tuple[int, ...]
    end: int

    def search(
        self,
        asked: BeamOptions,
        steps: NDArray[np.int64],
        source: Encoded,
        *,
        max_tokens: int,
        attention: bool,
    ) -> BeamRequest:
        """``steps``: what a text goes on from; ``max_tokens``: of one where the request names no other."""
        unknown = self.codec.unknown
        return BeamRequest(
            steps,
            width=asked.width,
            max_tokens=asked.max_tokens or max(max_tokens, asked.min_tokens),
            min_tokens=asked.min_tokens,
            n_best=asked.n,
            length_penalty=asked.length_penalty,
            end_tokens=frozenset([self.end]),
            banned=(*self.starts, *(() if unknown is None else (unknown,))),
            no_repeat_ngram=asked.no_repeat_ngram,
            start=source.row,
            attended=source.attended,
            attention=attention,
        )

    def others(self, hypotheses: Sequence[Hypothesis]) -> list[OtherText]:
        return [
            OtherText.model_construct(text=self.codec.decode(other.tokens), score=score_of([other]))
            for other in hypotheses
        ]


def streamed(search: BeamRequest) -> SequenceRequest:
    """The tokens of a search by one beam, one by one."""
    said = _Said(search)
    return SequenceRequest(
        search.steps,
        feedback=Feedback(
            search.max_tokens,
            Sampling(temperature=0.0),
            search.end_tokens,
            stop=said.hear if said.restricts else None,
            banned=search.banned,
            avoided=said.avoided if said.restricts else None,
        ),
        start=search.start,
        attended=search.attended,
    )


class _Said:
    """What a stream must not go on with, by what it has said."""

    def __init__(self, search: BeamRequest) -> None:
        self._ends, self._to_come = search.end_tokens, search.min_tokens
        size = search.no_repeat_ngram
        self._repeats = Repeats(size, search.steps.tolist()) if size else None
        self.restricts = bool(size or search.min_tokens)

    def avoided(self) -> list[int]:
        repeated = self._repeats.next() if self._repeats else ()
        found = [token for token in repeated if token not in self._ends]
        return [*found, *self._ends] if self._to_come > 0 else found

    def hear(self, token: int) -> bool:
        """Never the end."""
        self._to_come -= 1
        if self._repeats:
            self._repeats.add(token)
        return False


def score_of(found: Sequence[Hypothesis]) -> float:
    """Of a text that is made of these."""
    return float(rounded(np.array(sum(hypothesis.score for hypothesis in found))))


def usage_of(supplied: int, produced: int) -> Usage:
    return Usage.model_construct(
        prompt_tokens=supplied, completion_tokens=produced, total_tokens=supplied + produced
    )
