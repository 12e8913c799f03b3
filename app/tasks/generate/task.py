"""The task ``generate``: text that goes on from a prompt, token by token."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tasks.decoded.prepare import DecodingLimits
from app.tasks.decoded.resume import parse_point
from app.tasks.decoded.schema import DoneFrame, TokenFrame
from app.tasks.generate.actions import GENERATE
from app.tasks.generate.model import GenerateModel
from app.tasks.generate.schema import GenerateAnswer, GenerateRequest
from app.tasks.generate.spec import GenerateSpec
from app.tasks.task import Load, LoadOption, Task


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"max_tokens": options["tokens"], "temperature": 1.0, "seed": chance.randrange(2**31)}


def produced(frame: Mapping[str, Any]) -> int:
    return int(frame["usage"]["completion_tokens"] if frame["type"] == "done" else frame["index"])


_LOAD = Load(
    options=(LoadOption(name="tokens", help="length of a text", default=100, least=1, most=10_000),),
    body=_body,
    # Token ids that any vocabulary has.
    inputs=lambda number: b"[%d]" % (2 + number % 8),
    produced=produced,
)

TASK = Task(
    name="generate",
    doc="Continue a prompt. The seed is always reported, and repeats the text.",
    spec=GenerateSpec,
    limits=DecodingLimits,
    open=GenerateModel,
    request=GenerateRequest,
    answer=GenerateAnswer,
    frames=(TokenFrame, DoneFrame),
    point=parse_point,
    default_model="shakespeare",
    actions=(GENERATE,),
    load=_LOAD,
    page=Path(__file__).parent / "page",
    examples={
        "greedy": {
            "summary": "The most likely continuation",
            "value": {"prompt": "ROMEO:", "max_tokens": 64, "temperature": 0},
        },
        "sampled": {
            "summary": "Two drawn continuations that end at an empty line",
            "value": {
                "prompt": "JULIET:\n",
                "max_tokens": 200,
                "temperature": 0.8,
                "seed": 7,
                "stop": "\n\n",
                "n": 2,
            },
        },
        "stream": {
            "summary": "Server-sent events",
            "value": {"prompt": "First Citizen:\n", "max_tokens": 100, "temperature": 0.7, "stream": True},
        },
    },
    step_examples={"text": {"summary": "A text", "value": {"inputs": "O Romeo"}}},
)
