"""A beam search: what a task hands to the engine, and the hypotheses that come back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.sequence import FinishReason, Usage


@dataclass(slots=True, eq=False)
class BeamRequest:
    """The most likely continuations of one sequence of tokens. Validated, as a sequence is.

    Attributes:
        steps: ``[T]``, at least one: what every hypothesis goes on from, such as a start token and a prefix.
            It is neither scored nor reported.
        width: hypotheses that advance together.
        max_tokens: of a hypothesis, the end token included.
        min_tokens: before so many tokens no hypothesis ends.
        n_best: hypotheses in the result, at most ``width``.
        length_penalty: the exponent of Wu et al. 2016, at least 0; see :func:`app.runtime.beams.score`.
        end_tokens: end a hypothesis. They are scored and not reported.
        banned: tokens that no hypothesis has, such as the unknown token.
        no_repeat_ngram: no hypothesis has the same so many tokens in a row twice, those of ``steps``
            counted and end tokens not; 0 allows it.
        start, attended: as in a :class:`~app.core.sequence.SequenceRequest`.
        attention: whether the result has what each token attended to, of a graph that says it.
    """

    steps: NDArray[np.int64]
    width: int
    max_tokens: int
    n_best: int = 1
    length_penalty: float = 0.6
    end_tokens: frozenset[int] = frozenset()
    banned: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    start: NDArray[np.float32] | None = None
    attended: NDArray[np.float32] | None = None
    attention: bool = False
    min_tokens: int = 0

    @property
    def num_steps(self) -> int:
        """The most steps that it can take: of one row while it is fed, of ``width`` rows then."""
        return len(self.steps) - 1 + self.width * self.max_tokens


@dataclass(slots=True, eq=False)
class Hypothesis:
    """One continuation.

    Attributes:
        tokens: without the end token.
        logprob: natural log of its probability, the end token included, under the unmodified distribution.
        score: ``logprob`` divided by the length penalty.
        reason: ``END``, or ``LENGTH`` where it was cut off at ``max_tokens``, or where nothing was allowed.
        attention: ``[len(tokens), L]`` over the positions of ``attended``, if asked for.
    """

    tokens: list[int]
    logprob: float
    score: float
    reason: FinishReason
    attention: NDArray[np.float32] | None = None


@dataclass(slots=True, eq=False)
class BeamResult:
    """The best hypotheses, the highest score first: ``n_best`` unless fewer are possible."""

    hypotheses: list[Hypothesis]
    usage: Usage
