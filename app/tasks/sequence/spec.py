"""What the manifest says of a network of any kind: its steps by column, its outputs by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.bundle.manifest import Section, Spec

Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Unit = Annotated[str, StringConstraints(min_length=1, max_length=32)]


class Column(Section):
    """One number of a step."""

    name: Label
    unit: Unit | None = None
    missing: bool = Field(default=False, description="may be null; the graph is fed NaN then")


class NamedOutput(Section):
    """A part of what a step yields: a class, or numbers.

    With ``labels`` it is a class: a number for each label, or one number for the second of two.
    """

    name: Label
    size: int = Field(default=1, ge=1, le=1_000_000, description="numbers of it")
    labels: tuple[Label, ...] = ()
    scores: Literal["logits", "probabilities"] = Field(
        default="logits", description="of labels: what the numbers are"
    )
    columns: tuple[Label, ...] = Field(
        default=(), description="names of the numbers, where there are several"
    )
    unit: Unit | None = None

    @model_validator(mode="after")
    def _sizes(self) -> NamedOutput:
        if self.labels and len(self.labels) != self.size and (len(self.labels), self.size) != (2, 1):
            raise ValueError(
                f"output {self.name!r} has {self.size} numbers for {len(self.labels)} labels; "
                "it needs one for each label, or one for two"
            )
        if self.columns and len(self.columns) != self.size:
            raise ValueError(f"output {self.name!r} has {self.size} numbers, but {len(self.columns)} columns")
        if self.labels and self.columns:
            raise ValueError(f"output {self.name!r} has either labels or columns, not both")
        for names in (self.labels, self.columns):
            if len(set(names)) != len(names):
                raise ValueError(f"output {self.name!r} has two labels or columns of one name")
        return self


class SequenceSpec(Spec):
    """Steps are either tokens (``vocabulary``), or numbers: named ``columns``, or ``width`` unnamed ones.

    The graph has one output ``[batch, read, total]``, in which the named ones stand side by side. Missing
    values and normalisation are the graph's own affair.
    """

    model_config = ConfigDict(extra="forbid")

    task: Literal["sequence"] = "sequence"
    columns: tuple[Column, ...] = Field(default=(), description="of a step, in order")
    width: int | None = Field(default=None, ge=1, description="numbers of a step that have no names")
    vocabulary: int | None = Field(default=None, ge=2, description="of a network that reads tokens")
    outputs: tuple[NamedOutput, ...] = Field(min_length=1)
    read: Literal["last", "each"] = Field(
        default="last", description="which outputs a request gets by default"
    )

    @model_validator(mode="after")
    def _one_kind_of_step(self) -> SequenceSpec:
        if sum((bool(self.columns), self.width is not None, self.vocabulary is not None)) != 1:
            raise ValueError("give exactly one of columns, width and vocabulary")
        for kind, names in (("columns", self.columns), ("outputs", self.outputs)):
            if len({each.name for each in names}) != len(names):
                raise ValueError(f"two {kind} have one name")
        return self

    @property
    def step_width(self) -> int:
        """Numbers of a step; 0 for tokens."""
        return len(self.columns) or self.width or 0

    @property
    def total(self) -> int:
        """Numbers that a step yields."""
        return sum(output.size for output in self.outputs)
