"""Music on one bundle: a start token is supplied, then the voices are fed back, what is given among them."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.errors import over_limit
from app.core.sequence import Feedback, Sampling, SequenceRequest
from app.tasks.compose.assembler import MusicAssembler, PlannedMusic
from app.tasks.compose.given import GivenReader
from app.tasks.compose.music import NOTHING, Struck
from app.tasks.compose.parallels import Parallels
from app.tasks.compose.schema import SEEDS, ComposeLimits, ComposeRequest
from app.tasks.compose.score import Scorer
from app.tasks.compose.session import MusicSession
from app.tasks.compose.spec import ComposeSpec
from app.tasks.compose.tensors import compose_tensors
from app.tasks.model import StreamStart
from app.tasks.session import SessionView

# Small enough for every JSON reader to hold a drawn seed exactly.
_SEED_BITS = 53
_START = np.array([NOTHING], np.int64)


class ComposeModel:
    """See :class:`app.tasks.model.StreamingModel`; raises BundleError for a bundle that does not fit."""

    def __init__(self, bundle: Bundle, limits: ComposeLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(ComposeSpec)
        self._reference = manifest.reference
        self._limits = limits
        self._given = GivenReader(spec, limits)
        self.scorer = Scorer(self._reference, spec, self._given)
        self.session = MusicSession(spec, self._given)
        self.tensors = compose_tensors(spec, limits)
        self.inputs = {
            "voices": {voice.name: [voice.low, voice.high] for voice in spec.voices},
            "lead": spec.lead,
            "steps_per_beat": spec.steps_per_beat,
            "steps_per_bar": spec.steps_per_bar,
            "restrikes": spec.restrikes,
        }
        self.limits = {
            "max_music_steps": limits.max_music_steps,
            "max_pieces": limits.max_pieces,
            "max_midi_bytes": limits.max_midi_bytes,
        }

    def milliseconds(self, request: ComposeRequest) -> float:
        return self._given.milliseconds(request)

    def start(self, request: ComposeRequest, point: None = None) -> StreamStart:
        pitches, struck = self._given.piece(request)
        return self._started(request, self._spec.layout.encode(pitches, struck), struck, _START, None)

    def start_from(self, view: SessionView, request: ComposeRequest, *, over: bool) -> StreamStart:
        """As :meth:`start`, going on from a session's state; ``over``: the piece ends with what is drawn.

        The session has the first voice up to its step and the others ``lead`` steps less, and remembers
        what they have there. Where the piece goes on, the first voice is drawn on for ``lead`` steps, which
        the others hear, and which are left out.
        """
        layout = self._spec.layout
        pitches, struck = self._given.piece(request)
        rows = layout.encode(pitches, struck).reshape(-1, layout.voices)
        rows[: layout.lead, 1:] = self.session.pending(view.context)
        if not over:
            rows[len(pitches) :, 0] = -1
        supplied = _START if view.row is None else _START[:0]
        return self._started(request, rows.ravel(), struck, supplied, view)

    def _started(
        self,
        request: ComposeRequest,
        stream: NDArray[np.int64],
        struck: Struck,
        supplied: NDArray[np.int64],
        view: SessionView | None,
    ) -> StreamStart:
        most = self._limits.max_pieces
        if request.n > most:
            raise over_limit("n", most, f"at most {most} pieces are allowed here, got {request.n}")
        spec, layout = self._spec, self._spec.layout
        seed = secrets.randbits(_SEED_BITS) if request.seed is None else request.seed
        rules = [Parallels(layout, stream) if request.avoid_parallels else None for _ in range(request.n)]
        sequences = [
            SequenceRequest(
                supplied,
                feedback=Feedback(
                    max_tokens=len(stream),
                    sampling=Sampling(
                        request.temperature,
                        request.top_k,
                        request.top_p,
                        (seed + piece) % SEEDS,
                        alternatives=0,
                    ),
                    banned=(NOTHING,),
                    forced=stream,
                    stop=rule,
                    avoided=None if rule is None else rule.avoided,
                ),
                start=None if view is None else view.row,
                first_logits=None if view is None else view.last,
            )
            for piece, rule in enumerate(rules)
        ]
        plan = PlannedMusic(
            model=self._reference,
            voices=self._given.names,
            layout=layout,
            steps_per_beat=spec.steps_per_beat,
            tempo=request.tempo,
            seed=seed,
            n=request.n,
            scored=layout.scored(len(struck)),
            struck=struck,
            given=int(np.count_nonzero(stream >= 0)),
        )
        return StreamStart(sequences, MusicAssembler(plan))
