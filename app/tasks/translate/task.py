"""The task ``translate``: texts in one language in, the same in another out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from app.tasks.decoded.draft import PartFrame
from app.tasks.task import Load, LoadOption, Task
from app.tasks.translate.libre import OPERATIONS
from app.tasks.translate.model import Requests, TranslateModel
from app.tasks.translate.schema import (
    HuggingFaceAnswer,
    HuggingFaceRequest,
    TranslateAnswer,
    TranslateLimits,
    TranslateRequest,
    TranslationsFrame,
)
from app.tasks.translate.spec import TranslateSpec
from app.tasks.translate.tensors import EXAMPLES

_INPUTS = b'"inputs"'
_WORDS = (
    "a",
    "man",
    "woman",
    "dog",
    "child",
    "two",
    "red",
    "runs",
    "sits",
    "on",
    "in",
    "the",
    "street",
    "grass",
)


def _parse(body: bytes) -> Requests:
    """One that has ``inputs`` is of Hugging Face's shape; the body is parsed only where the word is."""
    if _INPUTS in body:
        try:
            document = from_json(body)
        except ValueError:
            document = None
        if isinstance(document, dict) and "inputs" in document:
            return HuggingFaceRequest.model_validate_json(body)
    return TranslateRequest.model_validate_json(body)


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    sentence = " ".join(chance.choices(_WORDS, k=chance.randint(6, 14)))
    return {"text": f"{sentence.capitalize()}.", "source": "en", "target": "de", "beams": options["beams"]}


TASK = Task(
    name="translate",
    doc="""Translate a text or several, sentence by sentence; line breaks stay where they are.

Beams look for the likeliest whole sentence, and `n` gives the best of them. A translation never depends
on which other texts are translated beside it. With `inputs` in place of `text`, request and answer have the
shape of Hugging Face's translation task.""",
    spec=TranslateSpec,
    limits=TranslateLimits,
    open=TranslateModel,
    request=Requests,
    answer=TranslateAnswer | HuggingFaceAnswer,
    parse=_parse,
    frames=(PartFrame, TranslationsFrame),
    whole=True,
    default_model="translate",
    operations=OPERATIONS,
    tensor_examples=EXAMPLES,
    load=Load(
        options=(LoadOption(name="beams", help="of a sentence", default=4, least=1, most=16),),
        body=_body,
        answered=b'"translations"',
        # Token ids that any vocabulary has.
        inputs=lambda number: b"[%d]" % (2 + number % 8),
    ),
    page=Path(__file__).with_name("page"),
    examples={
        "text": {
            "summary": "A sentence",
            "value": {"text": "A man in a red jacket rides a bicycle.", "source": "en", "target": "de"},
        },
        "alternatives": {
            "summary": "Three translations, with what each word was made from",
            "value": {"text": ["Ein Hund spielt im Schnee."], "target": "en", "n": 3, "alignments": True},
        },
    },
    step_examples={"text": {"summary": "A translation so far", "value": {"inputs": "Ein Mann"}}},
)
