"""``manifest.json``: what a bundle holds, as the one schema both sides share.

Unknown fields are refused, so a typing error in a hand-written manifest is found at load.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    StringConstraints,
    ValidationError,
    model_validator,
)

from app.core.errors import InvalidManifest

FORMAT_VERSION: Final = 1

NAME_RULE = "lower-case letters, digits, - and _, 64 at most, the first a letter or a digit"
VERSION_RULE = "letters, digits, ., - and _, 32 at most, the first a letter or a digit"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Cell = Literal["rnn", "lstm", "gru", "other"]

GRAPH_FILE = "model.onnx"
ENCODER_FILE = "encoder.onnx"
VECTORS_FILE = "vectors.npz"
TOKENIZER_FILE = "tokenizer.json"
CARD_FILE = "README.md"
MANIFEST_FILE = "manifest.json"


class Section(BaseModel):
    """Base of every part of the manifest: immutable, and strict about field names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RowField(Section):
    name: str = Field(min_length=1, max_length=64)
    offset: int = Field(ge=0)
    shape: tuple[int, ...] = Field(min_length=1)


class Row(Section):
    """Layout of the packed state row, in float32 elements."""

    size: int = Field(ge=1, le=1_000_000)
    fields: tuple[RowField, ...]

    @model_validator(mode="after")
    def _contiguous(self) -> Row:
        offset = 0
        for field in self.fields:
            if field.offset != offset:
                raise ValueError(f"row field {field.name!r} starts at {field.offset}, expected {offset}")
            elements = 1
            for axis in field.shape:
                elements *= axis
            offset += elements
        if offset != self.size:
            raise ValueError(f"row fields cover {offset} of {self.size} elements")
        return self


class GraphInput(Section):
    """The steps the graph consumes: ``[batch, time]`` tokens or ``[batch, time, *shape]`` numbers."""

    name: Literal["tokens", "x"]
    dtype: Literal["int64", "float32"]
    shape: tuple[int, ...] = Field(description="of one step; empty for tokens")


class GraphOutput(Section):
    """What a step yields: float32 ``[batch, read, *shape]``."""

    name: str
    shape: tuple[int, ...]
    by_position: bool = Field(
        default=False, description="one for each position that is attended to: a last axis behind the shape"
    )


class GraphSpec(Section):
    """The graph's own border, besides ``state``, ``state_out`` and ``head_from``."""

    opset: int
    input: GraphInput
    outputs: tuple[GraphOutput, ...] = Field(min_length=1)
    depends_on: tuple[Literal["batch", "cut"], ...] = Field(
        default=(),
        description="what the last bits of an answer depend on: the rest of the batch, the cut of a sequence",
    )

    def expect(self, steps: GraphInput, outputs: dict[str, tuple[int, ...]]) -> None:
        """Raises InvalidManifest unless the graph reads these steps and gives these outputs for each."""
        if self.input != steps:
            raise InvalidManifest(f"the task reads {_tensor(steps)}, and the graph {_tensor(self.input)}")
        given = {output.name: output.shape for output in self.outputs}
        if given != outputs:
            raise InvalidManifest(f"the task takes {_shapes(outputs)}, and the graph gives {_shapes(given)}")


class AttendedSpec(Section):
    """The array ``[length, width]`` that an encoder makes of a whole input, and each step attends to.

    The encoder gives it as ``attended [batch, length, width]``. The graph has it as an input of that name,
    padded with zeros, and how much of it there is as ``attended_length`` int64 ``[batch]``.
    """

    width: int = Field(ge=1, le=65_536)
    length: int | None = Field(
        default=None, ge=1, le=65_536, description="null: as many positions as the input has tokens"
    )

    def num_bytes(self, num_tokens: int) -> int:
        """Of the array of one input."""
        return 4 * self.width * (self.length or num_tokens)


class EncoderSpec(Section):
    """A second graph, which runs once over a whole input and gives the row that a sequence begins with.

    It takes ``tokens`` int64 ``[batch, length]`` with ``lengths`` int64 ``[batch]``, behind which no token
    counts, or ``x`` float32 ``[batch, *shape]``; and gives ``state`` ``[batch, row size]``.
    """

    opset: int
    input: GraphInput = Field(description="the shape is that of a whole input; empty for tokens")
    max_length: int | None = Field(default=None, ge=1, le=4096, description="tokens of one input")
    attended: AttendedSpec | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> EncoderSpec:
        if (self.input.name == "tokens") != (self.max_length is not None):
            raise ValueError("an encoder of tokens has max_length, and any other has none")
        if self.max_length is None and self.attended is not None and self.attended.length is None:
            raise ValueError("attended.length is needed where inputs are no tokens")
        return self


def _tensor(steps: GraphInput) -> str:
    return "tokens" if steps.name == "tokens" else f"steps of {list(steps.shape)} numbers"


def _shapes(outputs: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in outputs.items())


TOKENS = GraphInput(name="tokens", dtype="int64", shape=())


class Network(Section):
    """The trained network, for people."""

    cell: Cell
    nonlinearity: Literal["tanh", "relu"] | None = None
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    parameters: int = Field(ge=1)


class Spec(Section):
    """What a bundle's answers mean. Its fields are the task's: each task has a class of its own.

    Read from a file it holds every field as it stands there; :meth:`Manifest.spec_as` checks them.
    """

    model_config = ConfigDict(extra="allow")

    task: Name

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        """Raises BundleError where graph, tokenizer and this contradict each other. Export and server ask."""


SpecT = TypeVar("SpecT", bound=Spec)


class Source(Section):
    name: str
    sha256: Sha256
    url: str | None = None
    licence: str | None = None


class Provenance(Section):
    """Where the weights come from, precise enough to make them again."""

    created: str = Field(description="ISO 8601, UTC")
    command: str
    seed: int
    data: tuple[Source, ...] = ()
    packages: dict[str, str] = Field(default_factory=dict)
    training_seconds: float | None = None


class Quality(Section):
    """One measured figure, with the honest baselines measured on the same split beside it."""

    metric: str
    dataset: str
    split: str
    value: float
    higher_is_better: bool
    baselines: dict[str, float] = Field(default_factory=dict)
    references: dict[str, float] = Field(
        default_factory=dict, description="published figures, not measured here"
    )


class Parity(Section):
    """Largest absolute difference between ONNX Runtime and PyTorch, seen at export."""

    bound: float = Field(
        gt=0, description="relative to the largest golden output, and no less than this times one"
    )
    one_shot: float
    step_by_step: float
    batched: float


class Manifest(Section):
    format: Literal[1] = FORMAT_VERSION
    name: Name
    version: Version
    description: str = Field(max_length=500)
    network: Network
    graph: GraphSpec
    encoder: EncoderSpec | None = None
    row: Row
    spec: SerializeAsAny[Spec]
    provenance: Provenance
    quality: tuple[Quality, ...] = ()
    parity: Parity
    files: dict[FileName, Sha256]

    @property
    def task(self) -> str:
        return self.spec.task

    def spec_as(self, kind: type[SpecT]) -> SpecT:
        """The spec as its task's own class; raises InvalidManifest, which names the first wrong field."""
        if isinstance(self.spec, kind):
            return self.spec
        try:
            return kind.model_validate(self.spec.model_dump())
        except ValidationError as error:
            raise wrong_field(error, "spec") from error

    @property
    def attended(self) -> AttendedSpec | None:
        """What the graph attends to, if it does."""
        return None if self.encoder is None else self.encoder.attended

    @property
    def networks(self) -> str:
        """Tells the networks from all others: a row means nothing to any other; a sha256."""
        graph, encoder = self.files[GRAPH_FILE], self.files.get(ENCODER_FILE)
        return graph if encoder is None else hashlib.sha256(f"{graph} {encoder}".encode()).hexdigest()

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


def wrong_field(error: ValidationError, *path: str) -> InvalidManifest:
    """The first of a manifest's mistakes, by the path of its field."""
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join([*path, *(str(part) for part in first["loc"])]) or "document"
    return InvalidManifest(f"{MANIFEST_FILE}: {where}: {first['msg']}")
