"""A few bytes cannot ask for more memory than there is room for."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.errors import InvalidInput, Overloaded
from app.core.sequence import Feedback, Sampling, SequenceRequest
from app.service.answer_memory import AnswerMemory


def text(max_tokens: int, alternatives: int | None) -> SequenceRequest:
    """A sequence that goes on by itself."""
    sampling = Sampling(alternatives=alternatives)
    return SequenceRequest(np.zeros(1, np.int64), feedback=Feedback(max_tokens, sampling))


def test_answers_are_admitted_while_there_is_room() -> None:
    """Each token counts with its alternatives; what has ended makes room."""
    memory = AnswerMemory(100)
    first = memory.admit([text(10, 4), text(5, 0)])
    assert (first, memory.held) == (55, 55)
    with pytest.raises(Overloaded):
        memory.admit([text(10, 4)])
    assert memory.held == 55
    memory.give_back(first)
    assert memory.admit([text(20, 4)]) == 100


def test_what_lists_nothing_needs_no_room() -> None:
    """Texts without log-probabilities, and sequences that are only read."""
    memory = AnswerMemory(1)
    assert memory.admit([text(10_000, None), SequenceRequest(np.zeros(9, np.int64))]) == 0


def test_an_answer_that_could_never_be_admitted_is_a_mistake() -> None:
    """Waiting would not cure it."""
    with pytest.raises(InvalidInput, match="may list 100 log-probabilities") as raised:
        AnswerMemory(100).admit([text(51, 1)])
    assert raised.value.field == "logprobs"
