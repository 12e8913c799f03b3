"""The task ``compose``: music for several voices, of which any may be given."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tasks.compose.actions import COMPOSE
from app.tasks.compose.bodies import MIDI_ANSWER, MIDI_BODY, MIDI_SCORE, WAV_ANSWER
from app.tasks.compose.model import ComposeModel
from app.tasks.compose.schema import (
    ComposeAnswer,
    ComposeLimits,
    ComposeRequest,
    PiecesFrame,
    ScoreAnswer,
    ScoreRequest,
    StepFrame,
)
from app.tasks.compose.spec import ComposeSpec
from app.tasks.task import Load, LoadOption, Operation, Task

_MELODY = [
    {"pitch": pitch, "duration": duration}
    for pitch, duration in ((67, 4), (67, 4), (69, 4), (71, 4), (72, 4), (71, 4), (69, 8))
]


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"steps": options["steps"], "seed": chance.randrange(2**31)}


def _produced(frame: Mapping[str, Any]) -> int:
    if frame["type"] == "done":
        return sum(len(piece["steps"]) for piece in frame["pieces"])
    return int(frame["first"])


_SCORE = Operation(
    path="/compose/score",
    doc="""Tell how likely a piece is.

Nats in all, of each step and of each voice, under the model.""",
    request=ScoreRequest,
    answer=ScoreAnswer,
    of=lambda model: model.scorer,
    reads=(MIDI_SCORE,),
    examples={
        "steps": {
            "summary": "Two chords, of soprano, bass, alto and tenor",
            "value": {"steps": [[67, 43, 62, 59], [67, 43, 62, 59]]},
        }
    },
)

TASK = Task(
    name="compose",
    doc="""Write music for several voices.

Say how long, in `bars` or `steps`. A `melody`, or the notes of any voices in `given`, come back as they were,
and the others are drawn to fit; a MIDI file does as well, in base64 as `midi` or as the body. `Accept:
audio/midi` gets a MIDI file, `audio/wav` a sound. The seed is always reported, and repeats the piece.""",
    spec=ComposeSpec,
    limits=ComposeLimits,
    open=ComposeModel,
    request=ComposeRequest,
    answer=ComposeAnswer,
    frames=(StepFrame, PiecesFrame),
    reads=(MIDI_BODY,),
    writes=(MIDI_ANSWER, WAV_ANSWER),
    default_model="chorales",
    actions=(COMPOSE,),
    operations=(_SCORE,),
    load=Load(
        options=(LoadOption(name="steps", help="length of a piece", default=64, least=1, most=4096),),
        body=_body,
        # A rest, which every voice of every model may have.
        inputs=lambda number: b"[{}]",
        produced=_produced,
    ),
    page=Path(__file__).parent / "page",
    examples={
        "free": {"summary": "Four bars", "value": {"bars": 4, "seed": 7}},
        "harmony": {
            "summary": "A melody, harmonised",
            "value": {"melody": _MELODY, "temperature": 0.7, "seed": 7},
        },
        "stream": {"summary": "Server-sent events", "value": {"bars": 2, "seed": 7, "stream": True}},
    },
    tensor_examples={
        "chords": {
            "summary": "two chords (chorales)",
            "value": {
                "inputs": [
                    {
                        "name": "chords",
                        "shape": [1, 2, 4],
                        "datatype": "INT64",
                        "data": [67, 43, 62, 59, 67, 43, 62, 59],
                    }
                ]
            },
        }
    },
    step_examples={
        "chord": {
            "summary": "A chord",
            "value": {"seq": 1, "inputs": {"soprano": 67, "alto": 62, "tenor": 59, "bass": 43}},
        }
    },
)
