"""A completion request of the OpenAI API as an order to the service.

CompletionRequest --order_of--> CompletionOrder: one generation per prompt
"""

from __future__ import annotations

from app.core.errors import InvalidInput
from app.protocols.openai.completion import CompletionOrder
from app.protocols.openai.schema import DEFAULT_MAX_TOKENS, CompletionRequest
from app.tasks.generate.schema import GenerateRequest

# Seeds are signed there and unsigned here; those that both have keep their texts.
_SEEDS = 2**63


def order_of(request: CompletionRequest) -> CompletionOrder:
    """What is to be generated; null means the default, as that API has it.

    Raises:
        InvalidInput: parameters contradict each other.
    """
    num = request.n or 1
    candidates = candidates_of(request)
    if candidates < num:
        raise InvalidInput("best_of", f"best_of is {candidates}, less than n, which is {num}")
    if request.stream and candidates > num:
        raise InvalidInput(
            "best_of", "the best of several texts cannot be streamed; leave out stream or best_of"
        )
    if request.stream_options is not None and not request.stream:
        raise InvalidInput("stream_options", "stream_options are for streams only; send stream as well")
    max_tokens = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    echo = bool(request.echo)
    scored = request.logprobs is not None
    requests = [
        # Checked already, with the same bounds.
        GenerateRequest.model_construct(
            model=request.model,
            prompt=prompt,
            max_tokens=max(1, max_tokens),
            temperature=1.0 if request.temperature is None else request.temperature,
            top_k=max(0, request.top_k or 0),
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=None if request.seed is None else request.seed % _SEEDS,
            stop=request.stops,
            n=candidates,
            logprobs=0 if request.logprobs is None and candidates > num else request.logprobs,
            stream=bool(request.stream),
        )
        for prompt in request.prompts
    ]
    return CompletionOrder(requests, echo=echo, scored=echo and scored, prompt_only=max_tokens == 0)


def candidates_of(request: CompletionRequest) -> int:
    """Texts to generate for each prompt."""
    return request.best_of or request.n or 1
