"""What the manifest of a text classifier says of its answers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from app.bundle.manifest import Spec


class SentimentSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["sentiment"] = "sentiment"
    vocabulary: int = Field(ge=2)
    labels: tuple[str, ...] = Field(min_length=2)
