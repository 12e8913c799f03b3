"""What the manifest of a language model says of its texts."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from app.bundle.manifest import TOKENS, GraphSpec, Spec
from app.features.text import checked_codec


class GenerateSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["generate"] = "generate"
    vocabulary: int = Field(ge=2)
    unit: Literal["character", "token"]
    start_token: int = Field(ge=0, description="fed first when the prompt is empty")
    end_token: int | None = Field(default=None, ge=0, description="ends a text when it is produced")
    start_always: bool = Field(default=False, description="the start token precedes every prompt")

    @model_validator(mode="after")
    def _known_tokens(self) -> GenerateSpec:
        for name, token in (("start_token", self.start_token), ("end_token", self.end_token)):
            if token is not None and token >= self.vocabulary:
                raise ValueError(f"{name} is {token}, and the tokens are 0 to {self.vocabulary - 1}")
        return self

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        graph.expect(TOKENS, {"logits": (self.vocabulary,)})
        checked_codec(tokenizer, self.vocabulary)
