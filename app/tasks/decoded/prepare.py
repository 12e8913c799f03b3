"""A request for text as sequences, one for each choice; choice ``i`` draws with the seed plus ``i``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pydantic import Field

from app.core.errors import over_limit
from app.core.sequence import Feedback, Sampling, SequenceRequest
from app.features.text import TextCodec, TextLimits, check_ids, check_text
from app.tasks.decoded.schema import SEEDS, TextRequest
from app.tasks.decoded.text import stop_strings
from app.tasks.task import Task

# Small enough for every JSON reader to hold a drawn seed exactly.
_SEED_BITS = 53


class DecodingLimits(TextLimits):
    max_tokens: int = Field(10_000, ge=1, le=2**31 - 1, description="tokens one generation may produce")
    max_choices: int = Field(16, ge=1, le=10_000, description="texts of one generation, n")
    max_stop: int = Field(8, ge=0, le=64, description="stop strings of one generation")


@dataclass(frozen=True, slots=True, eq=False)
class PreparedText:
    """One sequence for each choice; ``prompt`` are its tokens without a start token."""

    sequences: list[SequenceRequest]
    stops: tuple[str, ...]
    logprobs: bool
    prompt: tuple[int, ...]
    seed: int


class TextModel(Protocol):
    """A model that produces text from a prompt, for protocols that shape its requests and answers anew."""

    codec: TextCodec
    decoding: DecodingLimits

    def prepare(self, request: TextRequest, seed: int | None = None) -> PreparedText:
        """``seed`` is used when the request names none, else one is drawn; raises InvalidInput."""


def produces_text(task: Task) -> bool:
    """Whether the models of a task are of :class:`TextModel`."""
    return issubclass(task.limits, DecodingLimits)


def prompt_ids(prompt: str | list[int], codec: TextCodec, vocabulary: int, limits: TextLimits) -> list[int]:
    """The tokens of a prompt, in whichever form it was sent; raises InvalidInput."""
    if isinstance(prompt, str):
        check_text("prompt", prompt, limits)
        ids = codec.encode(prompt)
    else:
        check_ids("prompt", prompt, vocabulary)
        ids = prompt
    most = limits.max_prompt_tokens
    if len(ids) > most:
        raise over_limit("prompt", most, f"the prompt has {len(ids)} tokens, more than the limit of {most}")
    return ids


def check_decoding(request: TextRequest, limits: DecodingLimits) -> None:
    """Raises InvalidInput where more tokens, choices or stop strings are asked for than are allowed."""
    for field, value, limit in (
        ("max_tokens", request.max_tokens, limits.max_tokens),
        ("n", request.n, limits.max_choices),
        ("stop", len(request.stops), limits.max_stop),
    ):
        if value > limit:
            raise over_limit(field, limit, f"at most {limit} is allowed here, got {value}")


def prepared_text(
    request: TextRequest,
    prompt: Sequence[int],
    supplied: Sequence[int],
    *,
    codec: TextCodec,
    ends: frozenset[int],
    seed: int | None,
) -> PreparedText:
    """One sequence for each choice; ``supplied`` is the prompt with its start token, if any.

    ``ends`` are tokens that end a text; ``seed`` is used when the request names none, else one is drawn.
    """
    steps = np.array(supplied, np.int64)
    if request.seed is not None:
        seed = request.seed
    elif seed is None:
        seed = secrets.randbits(_SEED_BITS)
    stops = tuple(request.stops)
    banned = () if codec.unknown is None else (codec.unknown,)
    sequences = [
        SequenceRequest(
            steps,
            feedback=Feedback(
                max_tokens=request.max_tokens,
                sampling=Sampling(
                    request.temperature,
                    request.top_k,
                    request.top_p,
                    (seed + choice) % SEEDS,
                    alternatives=request.logprobs,
                ),
                end_tokens=ends,
                stop=stop_strings(codec, stops) if stops else None,
                banned=banned,
            ),
        )
        for choice in range(request.n)
    ]
    return PreparedText(sequences, stops, request.logprobs is not None, tuple(prompt), seed)
