"""What the manifest of a captioner says of its words and of the pictures that it sees."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from app.bundle.manifest import TOKENS, GraphSpec, Spec
from app.core.errors import InvalidManifest
from app.features.text import checked_codec


class CaptionSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["caption"] = "caption"
    vocabulary: int = Field(ge=3)
    start_token: int = Field(ge=0, description="begins a caption")
    end_token: int = Field(ge=0, description="ends it")
    max_tokens: int = Field(ge=1, le=4096, description="of a caption, its end included")
    size: int = Field(ge=1, le=1024, description="pixels of a side of the pictures")
    detail: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="pixels of a side that pictures are reduced to first, as those of the training were",
    )
    grid: tuple[int, int] = Field(description="lines and columns of places that each word attends to")

    @model_validator(mode="after")
    def _known(self) -> CaptionSpec:
        for token in (self.start_token, self.end_token):
            if token >= self.vocabulary:
                raise ValueError(f"token {token} is none of 0 to {self.vocabulary - 1}")
        return self

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    @property
    def places(self) -> int:
        return self.grid[0] * self.grid[1]

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        graph.expect(TOKENS, {"logits": (self.vocabulary,), "attention": ()})
        if checked_codec(tokenizer, self.vocabulary).size > min(self.start_token, self.end_token):
            raise InvalidManifest("start_token and end_token are tokens of texts")
