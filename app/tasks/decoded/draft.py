"""Texts that are being written: by a stream, from events; by a session, from what a person chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from app.core.errors import RnnserveError
from app.core.schema import Answer
from app.core.sequence import Event, Failed, Finished, FinishReason, Source, Tokens
from app.features.text import TextCodec, TextInputs
from app.tasks.session import Context, EncodedInputs


class PartFrame(Answer):
    """What one text has gained since its last frame."""

    type: Literal["token"] = "token"
    text: str
    index: int = Field(description="which of the texts that were asked for")


class Drafts:
    """The texts of a stream, one for each of its sequences.

    Attributes:
        reasons: why each has ended; ``None`` before it has.
        produced: tokens of all together.
    """

    def __init__(self, codec: TextCodec, count: int) -> None:
        self._decoded = [codec.stream() for _ in range(count)]
        self.reasons: list[FinishReason | None] = [None] * count
        self.produced = 0

    @property
    def ended(self) -> bool:
        return None not in self.reasons

    def begin(self, index: int, tokens: Sequence[int]) -> str:
        """What a text goes on from, as text."""
        return "".join(map(self._decoded[index], tokens))

    def push(self, events: Sequence[tuple[int, Event]]) -> Mapping[int, str]:
        """What texts have gained, by their index; nothing for one that only ends.

        Raises RnnserveError when a sequence failed.
        """
        gained: dict[int, str] = {}
        failure: RnnserveError | None = None
        for index, event in events:
            gained.setdefault(index, "")
            if isinstance(event, Tokens):
                self.produced += len(event.tokens)
                gained[index] += self.begin(index, [token.id for token in event.tokens])
            elif isinstance(event, Finished):
                self.reasons[index] = event.reason
            elif isinstance(event, Failed):
                failure = failure or event.error
        if failure is not None:
            raise failure
        return gained


def chosen(
    texts: TextInputs, inputs: Any, *, start: int, step: int, context: Context, source: Source
) -> EncodedInputs:
    """A call of a session on a text: a step for each token.

    The start token is a step by itself before the first, told where nothing else comes.
    """
    lead = [] if step else [start]
    ids = [] if inputs == "" and lead else texts.ids(inputs)
    reported = tuple(range(len(lead), len(lead) + len(ids))) if ids else (0,)
    steps = np.array([*lead, *ids], np.int64)
    return EncodedInputs(steps, reported, context, ids or lead, source, keep_output=False)
