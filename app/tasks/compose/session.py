"""Sessions: chords in, one after the other; how likely their notes were out.

The first voice of a chord is fed at once, the others when it is ``lead`` steps further; until then the
session remembers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.core.numbers import rounded
from app.tasks.compose.given import GivenReader
from app.tasks.compose.music import NOTHING, REST
from app.tasks.compose.score import nats
from app.tasks.compose.spec import ComposeSpec
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output

AGAIN = "again"
_PENDING = "pending"


class MusicSession:
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, spec: ComposeSpec, given: GivenReader) -> None:
        self._spec, self._given = spec, given

    def open(self, options: Context) -> Context:
        if options:
            raise InvalidInput(f"options.{next(iter(options))}", "this model's sessions have no options")
        return {}

    def pending(self, context: Context) -> NDArray[np.int64]:
        """Tokens of the later voices that are to be fed, ``[lead, voices - 1]``."""
        kept = context.get(_PENDING)
        shape = (self._spec.lead, len(self._spec.voices) - 1)
        return np.full(shape, NOTHING, np.int64) if kept is None else np.array(kept, np.int64).reshape(shape)

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        chords = np.array(self._tokens(inputs), np.int64)
        voices, lead = len(self._spec.voices), self._spec.lead
        later = np.concatenate([self.pending(context), chords[:, 1:]])
        rows = np.concatenate([chords[:, :1], later[: len(chords)]], axis=1)
        first = int(step == 0)
        steps = np.concatenate([np.full(first, NOTHING, np.int64), rows.ravel()])
        reported = tuple(range(first + voices - 1, len(steps), voices))
        kept = {_PENDING: later[len(chords) :].tolist()} if lead and voices > 1 else {}
        return EncodedInputs(steps, reported, kept, rows.tolist())

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """Nats of the notes that each step fed; null for voices that were not in the piece yet."""
        return [self._described(call) for call in calls]

    def _described(self, call: AppliedInputs) -> list[Output]:
        voices = len(self._spec.voices)
        tokens = np.array(call.encoded.detail, np.int64)
        first = call.encoded.reported[0] - voices + 1
        before = call.outputs[first - 1 : first] if first else np.asarray(call.before)[None]
        logits = np.concatenate([before, call.outputs[first : first + tokens.size - 1]])
        lost = rounded(nats(logits, tokens.ravel()).reshape(-1, voices))
        said = []
        for row, each in zip(tokens.tolist(), lost.tolist(), strict=True):
            known = [None if token == NOTHING else value for token, value in zip(row, each, strict=True)]
            total = float(rounded(np.array(sum(value for value in known if value is not None))))
            said.append({"nats": total, "voices": dict(zip(self._given.names, known, strict=True))})
        return said

    def _tokens(self, inputs: Any) -> list[list[int]]:
        """One chord, or a list of them: lists in the order of the voices, or objects by their names."""
        chords = [inputs] if isinstance(inputs, dict) else inputs
        if not isinstance(chords, list) or not chords:
            raise InvalidInput("inputs", "should be a chord, or a list of chords: objects by voice, or lists")
        if not isinstance(chords[0], dict | list):
            return [self._chord(chords, "inputs")]
        return [self._chord(chord, f"inputs.{number}") for number, chord in enumerate(chords)]

    def _chord(self, chord: Any, where: str) -> list[int]:
        names, again = self._given.names, []
        if isinstance(chord, dict):
            again = chord.get(AGAIN, [])
            unknown = [name for name in chord if name not in names and name != AGAIN]
            if unknown or not isinstance(again, list) or any(name not in names for name in again):
                text = f"a chord has the voices {', '.join(names)}, and {AGAIN}: those struck anew"
                raise InvalidInput(f"{where}.{unknown[0] if unknown else AGAIN}", text, allowed=names)
            chord = [chord.get(name) for name in names]
        if not isinstance(chord, list) or len(chord) != len(names):
            text = f"a chord has {len(names)} pitches: {', '.join(names)}"
            raise InvalidInput(where, text, allowed=names)
        return [
            self._token(pitch, column, name in again, f"{where}.{name}")
            for column, (pitch, name) in enumerate(zip(chord, names, strict=True))
        ]

    def _token(self, pitch: Any, column: int, again: bool, where: str) -> int:
        layout = self._spec.layout
        if pitch is None or pitch == REST:
            return layout.token(REST)
        if not isinstance(pitch, int) or isinstance(pitch, bool):
            raise InvalidInput(where, "should be a MIDI number, or null for a rest")
        token = layout.token(self._given.pitch(pitch, column, where))
        return layout.again(token) if again and layout.restrikes else token
