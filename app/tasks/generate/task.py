"""Generation: a prompt's tokens are supplied, then the network's own are fed back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from app.bundle.manifest import Manifest
from app.core.errors import InvalidInput
from app.core.limits import Limits
from app.core.sequence import Feedback, Sampling, SequenceRequest, Token
from app.features.text import TextCodec
from app.features.text_checks import check_ids, check_text
from app.tasks.generate.schema import Alternative, GenerateRequest, TokenLogprob
from app.tasks.generate.spec import GenerateSpec

_SEEDS = 2**63
LEAST_LOGPROB = -9999.0


@dataclass(frozen=True, slots=True, eq=False)
class PreparedGeneration:
    """A validated request: one sequence per choice."""

    sequences: list[SequenceRequest]
    stops: tuple[str, ...]
    logprobs: bool
    prompt: tuple[int, ...]
    seed: int


class GenerateTask:
    """Requests and answers of one language model.

    Args:
        manifest: of the bundle.
        codec: of the bundle's tokenizer.
        limits: what a request may ask for.

    Raises:
        InvalidManifest: the bundle is no language model.
    """

    def __init__(self, manifest: Manifest, codec: TextCodec, limits: Limits) -> None:
        self._spec = manifest.spec_as(GenerateSpec)
        self._codec = codec
        self._limits = limits
        self._banned = () if codec.unknown is None else (codec.unknown,)

    @property
    def codec(self) -> TextCodec:
        """Of the bundle's tokenizer."""
        return self._codec

    def prepare(self, request: GenerateRequest, drawn_seed: int) -> PreparedGeneration:
        """Turn a request into one sequence per choice; choice ``i`` uses the seed plus ``i``.

        Args:
            request: what to continue.
            drawn_seed: used when the request names none.

        Raises:
            InvalidInput: a field is over its limit.
        """
        ids = self._prompt(request)
        supplied = [self._spec.start_token, *ids] if self._spec.start_always or not ids else ids
        return self._prepared(request, drawn_seed, ids, supplied)

    def resume(self, request: GenerateRequest, drawn_seed: int, *, begun: bool) -> PreparedGeneration:
        """As :meth:`prepare`, to go on from a state.

        Args:
            request: what to continue; an empty prompt goes on from the state as it is.
            drawn_seed: used when the request names none.
            begun: whether the state has consumed a token. If it has and the prompt is empty, the
                sequences have no supplied steps: their first tokens are drawn from the state's
                last output.

        Raises:
            InvalidInput: a field is over its limit.
        """
        ids = self._prompt(request)
        if begun:
            return self._prepared(request, drawn_seed, ids, ids)
        if self._spec.start_always:
            return self._prepared(request, drawn_seed, ids, [self._spec.start_token, *ids])
        # The start token is a step of the session like any other, since no later text begins with it.
        ids = ids or [self._spec.start_token]
        return self._prepared(request, drawn_seed, ids, ids)

    def _prompt(self, request: GenerateRequest) -> list[int]:
        self._check(request)
        if isinstance(request.prompt, str):
            check_text("prompt", request.prompt, self._limits)
            ids = self._codec.encode(request.prompt)
        else:
            check_ids("prompt", request.prompt, self._spec.vocabulary)
            ids = request.prompt
        if len(ids) > self._limits.max_prompt_tokens:
            raise InvalidInput(
                "prompt",
                f"the prompt has {len(ids)} tokens, more than the limit of {self._limits.max_prompt_tokens}",
                allowed={"max": self._limits.max_prompt_tokens},
            )
        return ids

    def _prepared(
        self, request: GenerateRequest, drawn_seed: int, ids: list[int], supplied: list[int]
    ) -> PreparedGeneration:
        steps = np.array(supplied, np.int64)
        seed = drawn_seed if request.seed is None else request.seed
        stops = tuple(request.stops)
        ends = frozenset() if self._spec.end_token is None else frozenset([self._spec.end_token])
        sequences = [
            SequenceRequest(
                steps,
                feedback=Feedback(
                    max_tokens=request.max_tokens,
                    sampling=Sampling(
                        request.temperature,
                        request.top_k,
                        request.top_p,
                        (seed + choice) % _SEEDS,
                        alternatives=request.logprobs,
                    ),
                    end_tokens=ends,
                    stop=StopStrings(self._codec, stops) if stops else None,
                    banned=self._banned,
                ),
            )
            for choice in range(request.n)
        ]
        return PreparedGeneration(sequences, stops, request.logprobs is not None, tuple(ids), seed)

    def assembler(self, prepared: PreparedGeneration) -> TextAssembler:
        """A fresh assembler for one choice."""
        return TextAssembler(self._codec, prepared.stops, logprobs=prepared.logprobs)

    def _check(self, request: GenerateRequest) -> None:
        for field, value, limit in (
            ("max_tokens", request.max_tokens, self._limits.max_tokens),
            ("n", request.n, self._limits.max_choices),
            ("stop", len(request.stops), self._limits.max_stop),
        ):
            if value > limit:
                raise InvalidInput(
                    field, f"at most {limit} is allowed here, got {value}", allowed={"max": limit}
                )


class StopStrings:
    """The stop rule of stop strings: over as soon as the text contains one.

    Only as much of the text is kept as a match can span.
    """

    def __init__(self, codec: TextCodec, stops: tuple[str, ...]) -> None:
        self._stream = codec.stream()
        self._stops = stops
        self._longest = max(len(stop) for stop in stops)
        self._tail = ""

    def __call__(self, token: int) -> bool:
        """Whether the text that ends in ``token`` contains a stop string."""
        self._tail += self._stream.push(token)
        if any(stop in self._tail for stop in self._stops):
            return True
        self._tail = self._tail[-self._longest :]
        return False


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Text that has become certain.

    Attributes:
        text: may be empty.
        index: position of its first token in the choice.
        logprobs: of the tokens whose text begins in it; ``None`` when they were not asked for.
    """

    text: str
    index: int
    logprobs: list[TokenLogprob] | None


class TextAssembler:
    """Tokens to text that ends before any stop string.

    Text that might be the beginning of a stop string is held back until it is certain.
    """

    def __init__(self, codec: TextCodec, stops: tuple[str, ...], *, logprobs: bool) -> None:
        self._codec = codec
        self._stream = codec.stream()
        self._stops = stops
        self._held = ""
        self._waiting: deque[tuple[int, Token]] = deque()
        self._logprobs = logprobs
        self._stopped = False
        self._ends: list[tuple[int, int]] = []
        self._released_chars = 0
        self._released_tokens = 0

    @property
    def kept(self) -> list[int]:
        """The tokens whose text has been released in full."""
        return [token for end, token in self._ends if end <= self._released_chars]

    def push(self, tokens: list[Token], *, last: bool) -> Piece:
        """Add tokens and take what is certain.

        Args:
            tokens: in order.
            last: nothing follows, so that nothing need be held back.
        """
        for token in tokens:
            if self._stopped:
                break
            self._waiting.append((self._released_chars + len(self._held), token))
            self._held += self._stream.push(token.id)
            self._ends.append((self._released_chars + len(self._held), token.id))
            self._cut()
        keep = 0 if last or self._stopped else self._possible_stop()
        text = self._held[: len(self._held) - keep]
        self._held = self._held[len(text) :]
        self._released_chars += len(text)
        return self._piece(text, whole=last and not self._stopped)

    def _cut(self) -> None:
        found = [place for place in (self._held.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self._held = self._held[: min(found)]
            self._stopped = True

    def _possible_stop(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0

    def _piece(self, text: str, *, whole: bool) -> Piece:
        index = self._released_tokens
        released: list[TokenLogprob] = []
        # A last token may be a part of a character that nothing completes, and so without text.
        while self._waiting and (whole or self._waiting[0][0] < self._released_chars):
            start, token = self._waiting.popleft()
            self._released_tokens += 1
            if self._logprobs:
                released.append(self._describe(token, start))
        return Piece(text, index, released if self._logprobs else None)

    def _describe(self, token: Token, start: int) -> TokenLogprob:
        return TokenLogprob.model_construct(
            token=self._codec.token(token.id),
            start=start,
            logprob=rounded(token.logprob or 0.0),
            top=[
                Alternative.model_construct(token=self._codec.token(other), logprob=rounded(logprob))
                for other, logprob in token.alternatives
            ],
        )


def rounded(logprob: float) -> float:
    """A log-probability that JSON can hold: a banned token's is minus infinity."""
    return round(max(logprob, LEAST_LOGPROB), 6)
