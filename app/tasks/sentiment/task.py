"""The task ``sentiment``: texts in, a label and its probability out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from app.features.text import TextLimits
from app.tasks.sentiment.batch import BATCH
from app.tasks.sentiment.model import SentimentModel, SentimentRequests
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.sentiment.tensors import EXAMPLES
from app.tasks.sentiment.text_classification import TextClassification, TextClassificationRequest
from app.tasks.task import Load, Task

_INPUTS = b'"inputs"'


def _parse(body: bytes) -> SentimentRequests:
    """The request in a JSON body: one that has ``inputs`` is a text classification."""
    if _has_inputs(body):
        return TextClassificationRequest.model_validate_json(body)
    return SentimentRequest.model_validate_json(body)


def _has_inputs(body: bytes) -> bool:
    """Whether a JSON object has the field; the body is parsed for it only where the word occurs."""
    if _INPUTS not in body:
        return False
    try:
        document = from_json(body)
    except ValueError:
        return False
    return isinstance(document, dict) and "inputs" in document


_WORDS = (
    *("a", "an", "the", "film", "story", "cast", "was", "is", "never", "always", "with", "and", "but", "of"),
    *("good", "bad", "slow", "funny", "dull", "great"),
)


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"text": " ".join(chance.choices(_WORDS, k=chance.randint(5, 40)))}


_LOAD = Load(
    body=_body,
    answered=b'"results"',
    # Token ids that any vocabulary has.
    inputs=lambda number: b"[%d]" % (2 + number % 8),
)

TASK = Task(
    name="sentiment",
    doc="""Label one text or several; with `trace`, also how the verdict moves from token to token.

With `inputs` in place of `text`, request and answer have the shape of Hugging Face's
text-classification task.""",
    spec=SentimentSpec,
    limits=TextLimits,
    open=SentimentModel,
    request=SentimentRequests,
    answer=SentimentAnswer | TextClassification,
    parse=_parse,
    default_model="sentiment",
    tensor_examples=EXAMPLES,
    load=_LOAD,
    batch=BATCH,
    page=Path(__file__).parent / "page",
    examples={
        "one": {
            "summary": "One text, with the running score",
            "value": {"text": "A warm, funny and utterly charming film.", "trace": True},
        },
        "many": {
            "summary": "Several texts",
            "value": {"text": ["I would watch it again tomorrow.", "Two hours of my life that I want back."]},
        },
    },
)
