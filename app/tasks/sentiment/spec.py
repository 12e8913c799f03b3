"""What the manifest of a text classifier says of its answers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from app.bundle.manifest import TOKENS, GraphSpec, Spec
from app.features.text import checked_codec


class SentimentSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["sentiment"] = "sentiment"
    vocabulary: int = Field(ge=2)
    labels: tuple[str, ...] = Field(min_length=2)

    @field_validator("labels")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for index, label in enumerate(value):
            if not label.strip():
                raise ValueError(f"label {index} is blank; each needs a name")
            if label in value[:index]:
                raise ValueError(f"two labels are called {label!r}; each needs a name of its own")
        return value

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        graph.expect(TOKENS, {"logits": (len(self.labels),)})
        checked_codec(tokenizer, self.vocabulary)
