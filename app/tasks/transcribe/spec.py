"""What the manifest says of a network that hears: its samples, and the texts of its labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from app.bundle.manifest import GraphInput, GraphSpec, Spec

MAX_UNITS, MAX_UNIT_CHARS = 50_000, 64
Piece = Annotated[str, StringConstraints(min_length=1, max_length=MAX_UNIT_CHARS)]


class TranscribeSpec(Spec):
    """A step is ``step_samples`` samples between -1 and 1; it yields logits of blank, then of each unit.

    The units are put together by the rule of connectionist temporal classification (Graves et al. 2006): a
    label that repeats that of the step before is the same one, and blank is none.
    """

    model_config = ConfigDict(extra="forbid")

    task: Literal["transcribe"] = "transcribe"
    unit: Literal["word", "character", "bpe"] = Field(
        description="words are joined by spaces; characters and pieces of words bring their own"
    )
    units: tuple[Piece, ...] = Field(min_length=1, max_length=MAX_UNITS)
    sample_rate: int = Field(ge=4_000, le=48_000)
    step_samples: int = Field(ge=16, le=48_000)

    @field_validator("units")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("two units have one text")
        return value

    @property
    def step_seconds(self) -> float:
        return self.step_samples / self.sample_rate

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        steps = GraphInput(name="x", dtype="float32", shape=(self.step_samples,))
        graph.expect(steps, {"logits": (1 + len(self.units),)})
