"""What a session on a model of texts says of each token: how likely it was, and what may follow.

Of the distribution after the last step only the likeliest tokens are kept with the session, in place of an
output as large as the vocabulary. So a token that is none of those has no probability, however calls are cut.
"""

from __future__ import annotations

from typing import Any

from app.core.numbers import log_softmax, rounded
from app.features.text import TextCodec
from app.tasks.session import AppliedInputs, Output

_SHOWN, _KEPT = 5, 10
_LIKELY = "likely"
"""In the session's memory: ids and log-probabilities after its last step, the likeliest first."""


def next_tokens(call: AppliedInputs, codec: TextCodec) -> list[Output]:
    """For each reported step, whose token is in the call's detail; tokens behind the codec's are no text."""

    def named(token: int) -> dict[str, Any]:
        return {"token": codec.token(token) if token < codec.size else "", "id": token}

    table = log_softmax(call.outputs)
    orders = (-table).argsort(axis=1, kind="stable")[:, :_KEPT]
    likely = [
        list(zip(order.tolist(), rounded(row[order]).tolist(), strict=True))
        for order, row in zip(orders, table, strict=True)
    ]
    found: list[Output] = []
    for step, token in zip(call.encoded.reported, call.encoded.detail, strict=True):
        before = likely[step - 1] if step else call.memory.get(_LIKELY, ())
        found.append(
            {
                **named(token),
                "logprob": next((logprob for other, logprob in before if other == token), None),
                "next": [{**named(other), "logprob": logprob} for other, logprob in likely[step][:_SHOWN]],
            }
        )
    call.memory[_LIKELY] = [list(pair) for pair in likely[-1]]
    return found
