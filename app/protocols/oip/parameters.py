"""The parameters of an inference request: those that Triton reserves, and each task's own.

A value is a text, a number or a boolean, so a list is written as a text with commas; a JSON list is
read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.core.schema import Request
from app.tasks.forecast.schema import Coverage, FrequencyCode, Level, Start
from app.tasks.generate.schema import GenerateRequest

MAX_SEQUENCE_ID = 128
_PASSED_OVER = frozenset({"headers", "content_type"})
_PREFIX = "triton_"


def _listed(value: object) -> object:
    """A number, or numbers by commas, as a list."""
    if isinstance(value, str):
        try:
            return [float(part) for part in value.split(",")]
        except ValueError:
            return value
    return [value] if isinstance(value, int | float) else value


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _sequence_id(value: object) -> object:
    number = type(value) is int and 0 <= value < 2**64
    if number or (isinstance(value, str) and len(value) <= MAX_SEQUENCE_ID):
        return value
    raise PydanticCustomError(
        "sequence_id",
        "is a whole number from 0 to 2^64 - 1, or a text of at most {max_length} characters",
        {"max_length": MAX_SEQUENCE_ID},
    )


Levels = Annotated[list[Level] | None, BeforeValidator(_listed), Field(min_length=1, max_length=99)]
Coverages = Annotated[list[Coverage] | None, BeforeValidator(_listed), Field(min_length=1, max_length=49)]


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


class ForecastParameters(Request):
    """Of a forecaster; `freq`, `season` and `start` of a sequence are given at its start."""

    horizon: int | None = Field(default=None, ge=1, le=2**31 - 1, description="left out, the model's")
    quantiles: Levels = None
    levels: Coverages = Field(default=None, description="central intervals in percent, instead")
    freq: FrequencyCode | None = None
    season: int | None = Field(default=None, ge=1, le=1_000_000)
    start: Start | None = None


class SentimentParameters(Request):
    """A classifier has none."""


class GenerateParameters(Request):
    """Of a text generator, as in ``POST /generate``."""

    max_tokens: int | None = Field(default=None, ge=1, le=2**31 - 1)
    temperature: float = Field(default=1.0, ge=0, le=100)
    top_k: int = Field(default=0, ge=0, le=2**31 - 1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], BeforeValidator(_texts)] = (
        Field(default_factory=list, max_length=64)
    )


DEFAULT_MAX_TOKENS: int = GenerateRequest.model_fields["max_tokens"].default
ParametersT = TypeVar("ParametersT", bound=Request)


def parted(given: Mapping[str, Any], own: type[ParametersT]) -> tuple[SequenceParameters, ParametersT]:
    """The reserved parameters of a request, and its task's.

    Raises:
        ValidationError: one is unknown or wrong; under ``parameters``.
    """
    reserved = {name: value for name, value in given.items() if name in SequenceParameters.model_fields}
    rest = {
        name: value
        for name, value in given.items()
        if name not in reserved and name not in _PASSED_OVER and not name.startswith(_PREFIX)
    }
    return SequenceParameters.model_validate(reserved), own.model_validate(rest)
