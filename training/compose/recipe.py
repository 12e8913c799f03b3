"""Scores in, a bundle that writes music for several voices out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import ExportError
from app.tasks.compose.spec import OUTPUT, ComposeSpec
from training.compose.batches import Batch, num_batches, training_batches
from training.compose.corpus import Corpus, Piece, allowed, built_in, follows, intervals, shifts, streams
from training.compose.measure import measure, nats
from training.compose.net import Composer, ComposerConfig
from training.compose.notes import NOTES, USER_NOTES
from training.compose.own import own_pieces
from training.compose.settings import BUILT_IN, PRESETS, ComposeOptions, ComposeSettings
from training.data.download import DataStore
from training.graph_net import GraphNet
from training.options import override, pick
from training.recipe import Recipe, UserModule, check_choice

_GOLDEN_TOKENS = 48


class ComposeRecipe(Recipe[Composer, Batch]):
    """A network that writes music."""

    task = "compose"
    about = "Train a network on music for several voices, built-in or in your MIDI files, and export it."
    DataOptions = ComposeOptions
    Settings = ComposeSettings
    tokenizer = None

    def __init__(self, options: ComposeOptions, settings: ComposeSettings, corpus: Corpus) -> None:
        self.settings, self.sources = settings, corpus.sources
        self.recorded = {"dataset": options.dataset, "midi": options.midi}
        if options.midi is not None:
            self.recorded |= {"grid": options.grid, "voices": options.voices}
        self._dataset, self._corpus = options.dataset, corpus
        self._spec = corpus.spec(settings.lead if len(corpus.voices) > 1 else 0)
        self._state: Tensor | None = None

    @classmethod
    def load(cls, options: ComposeOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        check_choice(options.dataset, options.midi, "--midi", BUILT_IN)
        settings = override(PRESETS.get(options.dataset or "", ComposeSettings()), given)
        if options.midi is not None:
            return cls(options, settings, own_pieces(options, settings.seed))
        return cls(options, settings, built_in(options.dataset or "", DataStore.open(data)))

    def bundle_name(self) -> str:
        return self._dataset or self.task

    def build_net(self) -> Composer:
        spec = self._spec
        window = max(self.settings.window, len(spec.voices) * (spec.lead + 2))
        config = pick(
            ComposerConfig,
            self.settings,
            vocabulary=spec.layout.vocabulary,
            lead=spec.lead,
            voices=len(spec.voices),
            bar=spec.steps_per_bar,
            window=window,
        )
        return Composer(config, allowed(spec), intervals(spec.layout), follows(spec.layout))

    @property
    def _window(self) -> int:
        return self.settings.piece * len(self._spec.voices)

    @property
    def batches_per_epoch(self) -> int:
        lead, voices = self._spec.lead, len(self._spec.voices)
        lengths = [(len(piece.pitches) + lead) * voices for piece in self._corpus.train]
        return num_batches(lengths, self.settings.batch, self._window)

    def batches(self, epoch: int) -> Iterator[Batch]:
        random = np.random.default_rng((self.settings.seed, epoch))

        def shift(piece: Piece) -> int:
            low, high = shifts(piece, self._corpus.voices, self.settings.transpose)
            return int(random.integers(low, high + 1))

        moved = streams(self._corpus.train, self._spec.layout, shift)
        return training_batches(moved, self.settings.batch, self._window, random)

    def loss(self, net: Composer, batch: Batch) -> Tensor:
        """Cross-entropy of the tokens that count; a window goes on from the state of the one before."""
        if batch.fresh or self._state is None:
            self._state = net.start_row().expand(len(batch.tokens), -1).contiguous()
        outputs, state = net(batch.tokens.to(net.device), self._state)
        self._state = state.detach()
        counts = batch.counts.to(net.device)
        lost = functional.cross_entropy(
            outputs[OUTPUT].float()[counts], batch.targets.to(net.device)[counts], reduction="sum"
        )
        # Windows at the ends of pieces have few tokens, of which each is to count as much as any.
        return lost / (self.settings.batch * self._window)

    def validate(self, net: Composer) -> float:
        """Nats of a token."""
        return nats(net, streams(self._corpus.validation, self._spec.layout)).each

    def measure(self, net: Composer) -> list[Quality]:
        return measure(net, self._corpus, self._spec, beside=True)

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        files = {source.name for source in bundle.manifest.provenance.data}
        for name in BUILT_IN:
            corpus = built_in(name, store)
            if files == {source.name for source in corpus.sources}:
                return measure(GraphNet(bundle), corpus, bundle.manifest.spec_as(ComposeSpec))
        return []

    @property
    def spec(self) -> ComposeSpec:
        return self._spec

    @property
    def description(self) -> str:
        voices = ", ".join(voice.name for voice in self._spec.voices)
        return f"Writes music for {voices}, after {self._corpus.title}."

    @property
    def notes(self) -> str:
        return NOTES.get(self._dataset or "", USER_NOTES)

    def golden_steps(self) -> NDArray[np.generic]:
        """The beginnings of three pieces of the validation part, each behind a start token."""
        rows = []
        for tokens, _ in streams(self._corpus.validation[:3], self._spec.layout):
            rows.append(np.resize(np.concatenate([[0], tokens]), _GOLDEN_TOKENS))
        return np.resize(np.array(rows, np.int64), (3, _GOLDEN_TOKENS))

    @staticmethod
    def module_spec(module: UserModule) -> ComposeSpec:
        raise ExportError("a network that writes music has a clock in its state; train one with its recipe")
