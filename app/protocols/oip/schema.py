"""The Open Inference Protocol, version 2, and Triton's extensions of it, as JSON shapes.

Unknown fields are passed over, as that protocol wants it; an unknown parameter would change the answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from app.core.schema import Answer, Request
from app.tasks.tensor_table import Datatype

MAX_RANK = 8
MAX_TENSORS = 32
MAX_SEQUENCE_ID = 128
Name = Annotated[str, Field(min_length=1, max_length=128)]
Parameters = Annotated[
    dict[str, Any],
    BeforeValidator(
        lambda value: {} if value is None else value, json_schema_input_type=dict[str, Any] | None
    ),
    Field(description="values are texts, numbers or booleans; null is none"),
]


class Lenient(BaseModel):
    """Base of requests: types are strict, further fields are passed over, NaN is a number."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class InputTensor(Lenient):
    """One input: its data here as JSON, nested or flat in row-major order, or binary behind the JSON."""

    name: Name
    shape: Annotated[
        list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Field(min_length=1, max_length=MAX_RANK)
    ]
    datatype: Annotated[str, Field(max_length=16, description="such as `FP32`, `INT64` or `BYTES`")]
    parameters: Parameters = Field(default_factory=dict)
    data: list[Any] | None = Field(
        default=None, description="left out with the parameter `binary_data_size`; null is a missing number"
    )


class OutputChoice(Lenient):
    """One output that is asked for; with the parameter `binary_data`, behind the JSON."""

    name: Name
    parameters: Parameters = Field(default_factory=dict)


class InferRequest(Lenient):
    """Tensors in.

    Triton's parameters are `sequence_id`, `sequence_start`, `sequence_end`, `binary_data_output`,
    `timeout` (in microseconds) and `priority`; the rest are the task's.
    """

    id: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="comes back")
    parameters: Parameters = Field(default_factory=dict)
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[OutputChoice], Field(max_length=MAX_TENSORS)] | None = Field(
        default=None, description="left out, all that the request produces by itself"
    )
    _binary: memoryview = PrivateAttr(default_factory=lambda: memoryview(b""))

    @property
    def binary(self) -> memoryview:
        return self._binary

    def carrying(self, binary: memoryview) -> InferRequest:
        """The same request, with what came behind the JSON."""
        self._binary = binary
        return self


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
    """What Triton reserves; a `sequence_id` of 0 or the empty text names no sequence."""

    sequence_id: Annotated[int | str, BeforeValidator(_sequence_id)] = 0
    sequence_start: bool = False
    sequence_end: bool = False
    binary_data_output: bool = False
    timeout: int = Field(default=0, ge=0, lt=2**64, description="microseconds; 0 leaves it to the server")
    priority: int = Field(default=0, ge=0, lt=2**64, description="without effect")


class OutputTensor(Answer):
    name: str
    datatype: Datatype
    shape: list[int]
    parameters: dict[str, str | int | float | bool] | None = None
    data: list[Any] | None = Field(
        default=None, description="flat, in row-major order; left out with `binary_data_size`"
    )


class InferAnswer(Answer):
    model_name: str
    model_version: str
    id: str | None = Field(default=None, description="of the request, if it had one")
    outputs: list[OutputTensor]


class OipError(Answer):
    """The body of every failure under ``/v2``."""

    error: str


class Live(Answer):
    """KServe's client reads this body, others the status alone."""

    live: Literal[True] = True


class Ready(Answer):
    ready: Literal[True] = True


class ModelReady(Ready):
    name: str


class ServerMetadata(Answer):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Answer):
    """An input or an output; -1 stands for any size."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(Answer):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str | int] = Field(
        description="what the answers mean: quantile levels, labels, and the limits of the parameters"
    )


class TensorConfig(Answer):
    """An input or an output as Triton's model configuration writes it."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool | None = None


class ModelConfig(Answer):
    """The part of Triton's that means something here."""

    name: str
    platform: str
    backend: str
    max_batch_size: Literal[0] = Field(default=0, description="the batch is an axis of the shapes")
    input: list[TensorConfig]
    output: list[TensorConfig]
    parameters: dict[str, dict[Literal["string_value"], str]]


class IndexRequest(Lenient):
    ready: bool = Field(default=False, description="list only what answers requests")


class IndexEntry(Answer):
    name: str
    version: str
    state: Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
    reason: str


class RepositoryRequest(Lenient):
    """The configuration is the bundle's own."""

    parameters: Parameters = Field(default_factory=dict)


class DurationStat(Answer):
    """How often, and how many nanoseconds in all."""

    count: int
    ns: int


class InferenceStats(Answer):
    """Where the time of the requests went; what is not told apart here is always zero."""

    success: DurationStat
    fail: DurationStat
    queue: DurationStat = Field(description="until the first run of the network; of sequences not known")
    compute_input: DurationStat
    compute_infer: DurationStat = Field(description="in runs of the network; of sequences not known")
    compute_output: DurationStat
    cache_hit: DurationStat
    cache_miss: DurationStat


class ModelStats(Answer):
    """Of one model version."""

    name: str
    version: str
    last_inference: int = Field(
        description="end of the last request, milliseconds since the epoch; 0 before it"
    )
    inference_count: int = Field(description="rows answered")
    execution_count: int = Field(description="requests answered")
    inference_stats: InferenceStats
    batch_stats: list[Any]


class Statistics(Answer):
    """Of the versions asked for."""

    model_stats: list[ModelStats]
