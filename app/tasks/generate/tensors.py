"""Text generation as tensors: ``prompt [batch]`` of BYTES, or ``tokens``, in; ``text [batch]`` out.

The outputs ``step_...`` say of each token of the prompt how likely it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.core.errors import over_limit
from app.core.schema import Request
from app.tasks.decoded.prepare import DecodingLimits
from app.tasks.decoded.schema import SEEDS
from app.tasks.generate.schema import GenerateRequest
from app.tasks.generate.spec import GenerateSpec
from app.tasks.tensor_table import ANY, FromState, Row, TensorInput, TensorOutput, TensorTable

DEFAULT_MAX_TOKENS: int = GenerateRequest.model_fields["max_tokens"].default
_Stop = Annotated[str, Field(min_length=1, max_length=1000)]


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


class GenerateParameters(Request):
    """Of a text generator, as in ``POST /generate``."""

    max_tokens: int | None = Field(default=None, ge=1, le=2**31 - 1)
    temperature: float = Field(default=1.0, ge=0, le=100)
    top_k: int = Field(default=0, ge=0, le=2**31 - 1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    stop: Annotated[list[_Stop], BeforeValidator(_texts)] = Field(default_factory=list, max_length=64)


def generate_tensors(
    reference: str,
    spec: GenerateSpec,
    limits: DecodingLimits,
    prepare: Callable[[GenerateRequest], object],
) -> TensorTable:
    """The tensors of the text generator ``name@version``; ``prepare`` refuses what it cannot answer."""

    def asked(prompt: Row, parameters: GenerateParameters, seed: int | None) -> dict[str, Any]:
        fields = parameters.model_dump()
        fields["max_tokens"] = parameters.max_tokens or DEFAULT_MAX_TOKENS
        return {**fields, "prompt": prompt, "seed": seed}

    def requests(rows: Sequence[Row], parameters: GenerateParameters) -> list[GenerateRequest]:
        """A generation for each prompt; where a seed is given, the seeds ascend from it."""
        most = limits.max_choices
        if len(rows) > most:
            raise over_limit("inputs", most, f"a request may hold at most {most} prompts, got {len(rows)}")
        seed = parameters.seed
        return [
            GenerateRequest.model_construct(
                **asked(row, parameters, None if seed is None else (seed + index) % SEEDS), model=reference
            )
            for index, row in enumerate(rows)
        ]

    def fields(row: Row, parameters: GenerateParameters, seq: int | None) -> dict[str, Any]:
        (request,) = requests([row], parameters)
        prepare(request)
        return {**asked(row, parameters, parameters.seed), "model": None, "advance": True, "seq": seq}

    return TensorTable(
        parameters=GenerateParameters,
        inputs=(
            TensorInput("prompt", "BYTES", (ANY,)),
            TensorInput("tokens", "INT64", (ANY, ANY), also=("INT32",), optional=True),
        ),
        outputs=(
            TensorOutput("text", "BYTES", (ANY,), of=lambda answer: answer.choices[0].text),
            TensorOutput("finish_reason", "BYTES", (ANY,), of=lambda answer: answer.choices[0].finish_reason),
            TensorOutput(
                "completion_tokens", "INT64", (ANY,), of=lambda answer: answer.usage.completion_tokens
            ),
            TensorOutput("seed", "INT64", (ANY,)),
            TensorOutput("step_token", "BYTES", (ANY, ANY)),
            TensorOutput("step_id", "INT64", (ANY, ANY)),
            TensorOutput("step_logprob", "FP32", (ANY, ANY)),
        ),
        meaning={"vocabulary": spec.vocabulary, "unit": spec.unit},
        requests=requests,
        from_state=FromState(
            action="generate",
            fields=fields,
            answer=lambda answer: answer,
            instead="a text",
            asked=lambda parameters: parameters.max_tokens is not None,
        ),
        max_rows=limits.max_texts,
    )
