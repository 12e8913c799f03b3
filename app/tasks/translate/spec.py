"""What the manifest of a translator says of its languages."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.bundle.manifest import TOKENS, GraphSpec, Spec
from app.core.errors import InvalidManifest
from app.features.text import checked_codec

CODE = r"^[a-z]{2,3}$"


class Language(BaseModel):
    """A language by its code (ISO 639)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(pattern=CODE)
    start_token: int = Field(ge=0, description="begins a translation into it")
    letters: str = Field(default="", description="that its texts have, in lower case")
    words: tuple[str, ...] = Field(default=(), description="that tell it from the others, in lower case")


class TranslateSpec(Spec):
    model_config = ConfigDict(extra="forbid")

    task: Literal["translate"] = "translate"
    vocabulary: int = Field(ge=3)
    end_token: int = Field(ge=0, description="ends a sentence, and what is fed to the encoder")
    languages: tuple[Language, ...] = Field(min_length=2)
    directions: tuple[tuple[str, str], ...] = Field(min_length=1, description="from, to")
    max_tokens: int = Field(ge=1, description="of a sentence without its end")
    attention: bool = Field(default=True, description="whether the graph tells what each step attended to")

    @model_validator(mode="after")
    def _known(self) -> TranslateSpec:
        codes = {language.code for language in self.languages}
        for direction in self.directions:
            for code in direction:
                if code not in codes:
                    raise ValueError(f"directions name {code!r}, and the languages are {sorted(codes)}")
        for token in (self.end_token, *(language.start_token for language in self.languages)):
            if token >= self.vocabulary:
                raise ValueError(f"token {token} is none of 0 to {self.vocabulary - 1}")
        return self

    @property
    def pairs(self) -> list[str]:
        return [f"{source}-{target}" for source, target in self.directions]

    def start(self, code: str) -> int:
        return next(language.start_token for language in self.languages if language.code == code)

    def check(self, graph: GraphSpec, tokenizer: str | None) -> None:
        given = {output.name: output.shape for output in graph.outputs}
        graph.expect(
            TOKENS, {"logits": (self.vocabulary,), **{k: v for k, v in given.items() if k != "logits"}}
        )
        if checked_codec(tokenizer, self.vocabulary).size > self.end_token:
            raise InvalidManifest("end_token is a token of texts")
