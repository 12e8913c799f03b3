"""``POST /caption`` and ``WS /caption``: pictures in, a sentence about each out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, WithJsonSchema

from app.core.schema import Answer, ModelReference, Request
from app.tasks.decoded.beams import (
    BeamLimits,
    BeamOptions,
    Beams,
    Ending,
    LengthPenalty,
    MaxTokens,
    NoRepeat,
    OtherText,
)
from app.tasks.decoded.draft import PartFrame
from app.tasks.decoded.schema import Usage

LENGTH_PENALTY = 0.6
NO_REPEAT = 3
HARD_MAX_IMAGES = 1_000
Base64 = Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64"})]


class CaptionLimits(BeamLimits):
    max_images: int = Field(16, ge=1, le=HARD_MAX_IMAGES, description="pictures of one request")
    max_pixels: int = Field(
        25_000_000, ge=1, le=1_000_000_000, description="pixels of one picture; more are not decoded"
    )


class CaptionOptions(BeamOptions):
    """What is asked of pictures; in the query where a file is the body itself."""

    length_penalty: LengthPenalty = LENGTH_PENALTY
    no_repeat_ngram: NoRepeat = NO_REPEAT
    max_tokens: Annotated[
        MaxTokens, Field(description="of a caption; left out, the most that the model learned")
    ] = None
    attention: bool = Field(default=False, description="give what each word attended to")


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


class Caption(Answer):
    """Of one picture."""

    text: str
    score: float | None = Field(
        default=None, description="log-probability by the length penalty; a stream has none"
    )
    finish_reason: Ending
    alternatives: list[OtherText] | None = None
    attention: Attention | None = None


class CaptionAnswer(Answer):
    """Captions in the order of the pictures. ``prompt_tokens`` are the places that words attend to."""

    model: str
    captions: list[Caption]
    usage: Usage


class CaptionsFrame(Answer):
    """All captions have ended well."""

    type: Literal["done"] = "done"
    model: str
    captions: list[Caption]
    usage: Usage


Frame = PartFrame | CaptionsFrame


class ImageToTextParameters(Request):
    """Of Hugging Face's image-to-text task."""

    max_new_tokens: MaxTokens = None
    num_beams: Beams = None


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
