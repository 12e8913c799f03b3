"""``/compose`` and ``/compose/score``: notes that are given in, notes for every voice out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.core.errors import InvalidInput
from app.core.limits import TaskLimits
from app.core.schema import Answer, ModelReference, Request

SEEDS = 2**63
HARD_MAX_STEPS = 1_000_000
_HARD_MAX_NOTES = 1_000_000
_HARD_MAX_MIDI = 40_000_000
MOST_TEMPERATURE = 2.0
LEAST_TEMPO, MOST_TEMPO = 20.0, 400.0


class ComposeLimits(TaskLimits):
    max_music_steps: int = Field(4096, ge=1, le=HARD_MAX_STEPS, description="steps of one piece of music")
    max_midi_bytes: int = Field(262_144, ge=1, le=100_000_000, description="of a MIDI file to read")
    max_pieces: int = Field(16, ge=1, le=10_000, description="pieces of one request for music, n")


class GivenNote(Request):
    """A note that a voice has; its end is followed by the next note, unless that names its start."""

    pitch: int | None = Field(default=None, ge=0, le=127, description="a MIDI number; null is a rest")
    duration: int = Field(default=1, ge=1, le=HARD_MAX_STEPS, description="in steps")
    start: int | None = Field(
        default=None, ge=0, le=HARD_MAX_STEPS, description="in steps; what is left out before it is drawn"
    )


Notes = Annotated[list[GivenNote], Field(max_length=_HARD_MAX_NOTES, fail_fast=True)]
Chord = Annotated[list[int | None], Field(max_length=128)]
Midi = Annotated[str, Field(min_length=1, max_length=_HARD_MAX_MIDI)]


class ComposeRequest(Request):
    """How long a piece, what of it is given, and how the rest is drawn.

    Raises:
        InvalidInput: the length is said twice, or the first voice is given twice.
    """

    steps: int | None = Field(
        default=None, ge=1, le=HARD_MAX_STEPS, description="length; left out, as long as what is given"
    )
    bars: int | None = Field(default=None, ge=1, le=HARD_MAX_STEPS, description="length, in place of steps")
    melody: Notes | None = Field(default=None, description="of the first voice")
    given: dict[str, Notes] = Field(default_factory=dict, description="notes of any voices, by its name")
    midi: Midi | None = Field(
        default=None,
        description="a MIDI file in base64: tracks named as voices are theirs; else its top is the melody",
    )
    n: int = Field(default=1, ge=1, le=2**31 - 1, description="how many pieces")
    temperature: float = Field(
        default=1.0, ge=0, le=MOST_TEMPERATURE, description="0 takes the most likely note"
    )
    top_k: int = Field(default=0, ge=0, le=2**31 - 1, description="0 keeps every note")
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=SEEDS, description="left out, drawn and reported")
    avoid_parallels: bool = Field(
        default=False, description="no drawn note makes parallel fifths or octaves with another voice"
    )
    tempo: float = Field(
        default=80.0, ge=LEAST_TEMPO, le=MOST_TEMPO, description="beats a minute, of MIDI and WAV"
    )
    stream: bool = Field(default=False, description="answer with server-sent events")
    model: ModelReference = None

    @model_validator(mode="after")
    def _once(self) -> ComposeRequest:
        if self.steps is not None and self.bars is not None:
            raise InvalidInput("bars", "give either steps or bars", allowed=["steps", "bars"])
        if self.melody is not None and self.midi is not None:
            raise InvalidInput("midi", "give either melody or midi", allowed=["melody", "midi"])
        return self


class PlacedNote(Answer):
    """Times in steps."""

    pitch: int
    start: int
    duration: int


class ComposedPiece(Answer):
    """One of the ``n``."""

    steps: list[Chord] = Field(description="of each step the pitch of each voice; null is a rest")
    notes: dict[str, list[PlacedNote]] = Field(description="by voice")
    nats: float = Field(description="minus the natural log of its probability, given notes included")
    finish_reason: Literal["length", "stopped"]


class ComposeAnswer(Answer):
    """Pieces in the order of their seeds: the first has `seed`, the next the one after it."""

    model: str
    voices: list[str] = Field(description="in the order in which `steps` have them")
    steps_per_beat: int
    tempo: float
    seed: int
    pieces: list[ComposedPiece]


class StepFrame(Answer):
    """The steps of one piece that have become whole since its last frame."""

    type: Literal["step"] = "step"
    piece: int
    first: int = Field(description="index of the first of these steps")
    steps: list[Chord]


class PiecesFrame(Answer):
    """All pieces have ended well."""

    type: Literal["done"] = "done"
    model: str
    voices: list[str]
    steps_per_beat: int
    tempo: float
    seed: int
    pieces: list[ComposedPiece]


class ScoreRequest(Request):
    """A piece: `steps`, the `notes` of every voice, or a MIDI file.

    Raises:
        InvalidInput: not exactly one of them is given.
    """

    steps: Annotated[list[Chord], Field(min_length=1, max_length=HARD_MAX_STEPS)] | None = Field(
        default=None, description="of each step the pitch of each voice; null is a rest"
    )
    notes: dict[str, Notes] | None = Field(default=None, description="by voice; silent where it has none")
    midi: Midi | None = Field(default=None, description="a MIDI file in base64")
    model: ModelReference = None

    @model_validator(mode="after")
    def _one_form(self) -> ScoreRequest:
        if sum(form is not None for form in (self.steps, self.notes, self.midi)) != 1:
            allowed = ["steps", "notes", "midi"]
            raise InvalidInput("steps", "give exactly one of steps, notes and midi", allowed=allowed)
        return self


class ScoreAnswer(Answer):
    """How likely a piece is: minus the natural log of its probability, as a sum and in parts."""

    model: str
    nats: float
    nats_per_step: float
    voices: dict[str, float] = Field(description="of each voice")
    steps: list[float] = Field(description="of each step")
