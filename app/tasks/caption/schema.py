"""``POST /caption`` and ``WS /caption``: pictures in, a sentence about each out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, WithJsonSchema, model_validator

from app.core.errors import InvalidInput
from app.core.schema import Answer, ModelReference, Request
from app.features.text import TextLimits
from app.tasks.decoded.schema import Usage

BEAMS = 4
LENGTH_PENALTY = 0.6
NO_REPEAT = 3
HARD_MAX_BEAMS = 64
HARD_MAX_IMAGES = 1_000
FinishReason = Literal["end", "length", "stopped"]
"""``end``: the caption is over; ``length``: max_tokens reached; ``stopped``: by the client."""
Base64 = Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]


class CaptionLimits(TextLimits):
    max_images: int = Field(16, ge=1, le=HARD_MAX_IMAGES, description="pictures of one request")
    max_pixels: int = Field(
        25_000_000, ge=1, le=1_000_000_000, description="pixels of one picture; more are not decoded"
    )
    max_beams: int = Field(16, ge=1, le=HARD_MAX_BEAMS, description="beams of one sentence")


class CaptionOptions(BaseModel):
    """What is asked of pictures; in the query where a file is the body itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beams: int | None = Field(
        default=None,
        ge=1,
        le=HARD_MAX_BEAMS,
        description=f"captions that are followed at once; left out, {BEAMS}, of a stream 1",
    )
    n: int = Field(
        default=1, ge=1, le=HARD_MAX_BEAMS, description="captions of each picture, at most `beams`"
    )
    length_penalty: float = Field(
        default=LENGTH_PENALTY,
        ge=0,
        le=5,
        description="exponent of Wu et al. 2016: more than 1 prefers long ones",
    )
    no_repeat_ngram: int = Field(
        default=NO_REPEAT, ge=0, le=100, description="so many words in a row occur once; 0: at will"
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=4096, description="of a caption; left out, the most that the model learned"
    )
    attention: bool = Field(default=False, description="give what each word attended to")
    stream: bool = Field(default=False, description="answer with server-sent events")
    model: ModelReference = None

    @property
    def width(self) -> int:
        return self.beams or (1 if self.stream else max(BEAMS, self.n))

    @model_validator(mode="after")
    def _fits(self) -> CaptionOptions:
        if self.stream and self.width > 1:
            text = "a stream goes word by word, and beams are decided between at the end; give one of both"
            raise InvalidInput("beams", text, allowed={"max": 1})
        if self.n > self.width:
            raise InvalidInput(
                "n", f"of {self.width} beams there are no {self.n} captions", allowed={"max": self.width}
            )
        if self.stream and self.attention:
            raise InvalidInput("attention", "a stream has none; ask for the whole answer")
        return self


def _images(value: object) -> object:
    return [value] if isinstance(value, str) else value


class CaptionRequest(CaptionOptions, Request):
    """Pictures in base64."""

    images: Annotated[
        list[Base64],
        BeforeValidator(_images, json_schema_input_type=Base64 | list[Base64]),
        Field(
            min_length=1,
            max_length=HARD_MAX_IMAGES,
            description="one JPEG, PNG, WebP or GIF file in base64, or several",
        ),
    ]


class PictureFile(CaptionOptions):
    """A picture that is the body itself."""

    data: bytes


class PictureArrays(CaptionOptions):
    """Pictures as the network sees them, ``[3, size, size]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    arrays: list[Any]


class Attention(Answer):
    """What each token of a caption attended to.

    ``weights[i]`` has a number for each place of the grid, line by line; they sum to one.
    """

    grid: tuple[int, int] = Field(description="lines and columns that the picture is parted into")
    tokens: list[str]
    weights: list[list[float]]


class OtherCaption(Answer):
    """Another caption, less likely."""

    text: str
    score: float


class Caption(Answer):
    """Of one picture."""

    text: str
    score: float | None = Field(
        default=None, description="log-probability by the length penalty; a stream has none"
    )
    finish_reason: FinishReason
    alternatives: list[OtherCaption] | None = None
    attention: Attention | None = None


class CaptionAnswer(Answer):
    """Captions in the order of the pictures. ``prompt_tokens`` are the places that words attend to."""

    model: str
    captions: list[Caption]
    usage: Usage


class WordFrame(Answer):
    """What the caption of one picture has gained since its last frame."""

    type: Literal["token"] = "token"
    text: str
    index: int = Field(description="which of the pictures")


class CaptionsFrame(Answer):
    """All captions have ended well."""

    type: Literal["done"] = "done"
    model: str
    captions: list[Caption]
    usage: Usage


Frame = WordFrame | CaptionsFrame


class ImageToTextParameters(Request):
    """Of Hugging Face's image-to-text task."""

    max_new_tokens: int | None = Field(default=None, ge=1, le=4096)
    num_beams: int | None = Field(default=None, ge=1, le=HARD_MAX_BEAMS)


class ImageToTextRequest(Request):
    """A picture in base64; its clients send the file itself where there are no parameters."""

    inputs: Base64
    parameters: ImageToTextParameters | None = None
    options: dict[str, Any] | None = Field(
        default=None, description="ignored: nothing is cached or loaded here"
    )
    model: ModelReference = None

    def plain(self) -> CaptionRequest:
        asked = self.parameters or ImageToTextParameters()
        return CaptionRequest(
            images=[self.inputs], beams=asked.num_beams, max_tokens=asked.max_new_tokens, model=self.model
        )


class ImageToTextFile(BaseModel):
    """A picture that is the body itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: bytes
    model: ModelReference = None

    def plain(self) -> PictureFile:
        return PictureFile(data=self.data, model=self.model)


class GeneratedText(Answer):
    generated_text: str


class ImageToTextAnswer(RootModel[list[GeneratedText]]):
    """One for the one picture."""
