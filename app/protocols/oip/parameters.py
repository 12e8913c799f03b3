"""The parameters of an inference request: those that Triton reserves, and the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.core.schema import Request

MAX_SEQUENCE_ID = 128
_PASSED_OVER = frozenset({"headers", "content_type"})
_PREFIX = "triton_"


def _sequence_id(value: object) -> object:
    number = type(value) is int and 0 <= value < 2**64
    if number or (isinstance(value, str) and len(value) <= MAX_SEQUENCE_ID):
        return value
    raise PydanticCustomError(
        "sequence_id",
        "is a whole number from 0 to 2^64 - 1, or a text of at most {max_length} characters",
        {"max_length": MAX_SEQUENCE_ID},
    )


class SequenceParameters(Request):
    """What Triton reserves.

    `sequence_id` names a sequence by a number or a text; 0 and the empty text name none.
    """

    sequence_id: Annotated[int | str, BeforeValidator(_sequence_id)] = 0
    sequence_start: bool = False
    sequence_end: bool = False
    binary_data_output: bool = False
    timeout: int = Field(default=0, ge=0, lt=2**64, description="microseconds; 0 leaves it to the server")
    priority: int = Field(default=0, ge=0, lt=2**64, description="without effect")


def split(given: Mapping[str, Any], model: type[Request]) -> tuple[SequenceParameters, Any]:
    """The reserved parameters of a request, and the model's as its own class.

    Raises:
        ValidationError: one is unknown or wrong.
    """
    reserved, others = {}, {}
    for name, value in given.items():
        if name in SequenceParameters.model_fields:
            reserved[name] = value
        elif name not in _PASSED_OVER and not name.startswith(_PREFIX):
            others[name] = value
    return SequenceParameters.model_validate(reserved), model.model_validate(others)
