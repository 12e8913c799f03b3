"""What the manifest of a network that writes music says of its voices and of its grid."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from app.bundle.manifest import TOKENS, GraphSpec, Section, Spec
from app.tasks.compose.music import Layout

OUTPUT = "logits"


class Voice(Section):
    """A part of the score, and the MIDI numbers it may have."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    low: int = Field(ge=0, le=127)
    high: int = Field(ge=0, le=127)


class ComposeSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["compose"] = "compose"
    voices: tuple[Voice, ...] = Field(min_length=1, max_length=32, description="in the order of their tokens")
    lead: int = Field(default=0, ge=0, le=64, description="steps that the first voice is written ahead")
    steps_per_beat: int = Field(default=4, ge=1, le=96)
    beats_per_bar: int = Field(default=4, ge=1, le=64)
    restrikes: bool = Field(
        default=False, description="whether a note struck anew has another token than one held"
    )

    @model_validator(mode="after")
    def _voices(self) -> ComposeSpec:
        for voice in self.voices:
            if voice.low > voice.high:
                raise ValueError(f"voice {voice.name!r} goes from {voice.low} to {voice.high}")
        if len({voice.name for voice in self.voices}) != len(self.voices):
            raise ValueError("two voices have the same name")
        return self

    @property
    def steps_per_bar(self) -> int:
        return self.steps_per_beat * self.beats_per_bar

    @property
    def layout(self) -> Layout:
        low, high = min(voice.low for voice in self.voices), max(voice.high for voice in self.voices)
        return Layout(len(self.voices), self.lead, low, high, self.restrikes)

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        graph.expect(TOKENS, {OUTPUT: (self.layout.vocabulary,)})
