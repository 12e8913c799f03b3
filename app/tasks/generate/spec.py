"""What the manifest of a language model says of its texts."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from app.bundle.manifest import Spec


class GenerateSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["generate"] = "generate"
    vocabulary: int = Field(ge=2)
    unit: Literal["character", "token"]
    start_token: int = Field(ge=0, description="fed first when the prompt is empty")
    end_token: int | None = Field(default=None, ge=0, description="ends a text when it is produced")
    start_always: bool = Field(default=False, description="the start token precedes every prompt")
