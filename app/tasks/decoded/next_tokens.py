"""What a session on a model of texts says of each token: how likely it was, and what may follow."""

from __future__ import annotations

from typing import Any

from app.core.numbers import log_softmax, rounded
from app.features.text import TextCodec
from app.tasks.session import AppliedInputs, Output

_SHOWN = 5


def next_tokens(call: AppliedInputs, codec: TextCodec) -> list[Output]:
    """For each reported step, whose token is in the call's detail; tokens behind the codec's are no text."""
    found: list[Output] = []
    table = log_softmax(call.outputs)
    before = None if call.before is None else log_softmax(call.before)

    def named(token: int) -> dict[str, Any]:
        return {"token": codec.token(token) if token < codec.size else "", "id": token}

    for step, token in zip(call.encoded.reported, call.encoded.detail, strict=True):
        known = table[step - 1] if step else before
        order = (-table[step]).argsort(kind="stable")[:_SHOWN]
        likely = rounded(table[step][order]).tolist()
        found.append(
            {
                **named(token),
                "logprob": None if known is None else float(rounded(known[token])),
                "next": [
                    {**named(other), "logprob": logprob}
                    for other, logprob in zip(order.tolist(), likely, strict=True)
                ],
            }
        )
    return found
