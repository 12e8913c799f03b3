"""Text in, a bundle that continues text out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import ExportError, TrainingError
from app.features.text import TextCodec
from app.tasks.generate.spec import GenerateSpec
from training.data.download import DataStore
from training.generate.calibrate import best_temperature, calibrate
from training.generate.corpus import TokenBatch, Unit, line_batches, num_stream_batches, stream_batches
from training.generate.data import BUILT_IN, Corpus, load_built_in, load_file
from training.generate.dynamic import Follower, chosen
from training.generate.measure import CarriedLoss, count_units, dynamic_figure, measure, whole_batches
from training.generate.net import LanguageModel
from training.generate.notes import NOTES, USER_NOTES
from training.generate.samples import samples_for_card
from training.generate.settings import PRESETS, GenerateSettings, TextOptions
from training.generate.speakers import SpeakerRenamer
from training.graph_net import GraphNet
from training.loop_config import FitReport
from training.options import RunOptions, override, pick
from training.recipe import NO_TEXT, Recipe, UserModule, check_choice, first_tokens
from training.start import leave_to
from training.token_net import TokenNetConfig
from training.token_start import TokenStart
from training.tokenizers import (
    bpe_tokenizer,
    character_tokenizer,
    encode_many,
    kind_of,
    line_end_token,
    spaced_word_tokenizer,
)

_VALIDATION_PARTS = 10
_MIN_STEPS = 16


# What a network to start from decides.
_DECIDED = (
    "tokenizer",
    "vocab_size",
    "lines",
    "cell",
    "nonlinearity",
    "layers",
    "hidden",
    "embedding",
    "tied",
)


class GenerateRecipe(Recipe[LanguageModel, TokenBatch]):
    """A language model of one text."""

    task = "generate"
    about = """Train a language model on a built-in text or on your own, and export it.

    Options that are left out take the tuned values of the built-in data set, or values that suit
    a megabyte of text.
    """
    DataOptions = TextOptions
    Settings = GenerateSettings

    def __init__(
        self,
        options: TextOptions,
        settings: GenerateSettings,
        corpus: Corpus,
        start: TokenStart | None = None,
    ) -> None:
        self.settings, self.sources = settings, corpus.sources
        self.recorded = dataclasses.asdict(options)
        del self.recorded["start"]
        self._dataset, self._corpus, self._start = options.dataset, corpus, start
        self.starts_trained = start is not None
        parts = corpus.parts
        if start is not None:
            self.recorded["from"], self.decided = start.reference, _DECIDED
            self.tokenizer = start.tokenizer
        else:
            self.tokenizer = _tokenizer(settings, parts.train)
        self._codec = TextCodec(self.tokenizer)
        self._boundary = line_end_token(self._codec)
        self._renamer = SpeakerRenamer(parts.train[0]) if settings.rename_speakers else None
        self._train, self._validation = (
            [np.asarray(ids, np.int64) for ids in encode_many(self._codec, texts)]
            for texts in (parts.train, parts.validation)
        )
        if start is not None:
            start.doubt(self._codec, self._train)
        # A short text is cut into fewer parts, or an epoch would hardly move the weights.
        most = len(self._train[0]) // (_MIN_STEPS * settings.length)
        self._num_parts = max(1, min(settings.batch_size, most))
        self._loss, self._samples = CarriedLoss(), ""

    @classmethod
    def load(cls, options: TextOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        check_choice(options.dataset, options.text, "--text", BUILT_IN)
        settings = override(PRESETS.get(options.dataset or "", GenerateSettings()), given)
        start = None
        if options.start is not None:
            start = TokenStart(options.start, cls.task, Path(given.get("out") or RunOptions().out))
            leave_to(start.reference, _DECIDED, given)
            lines = start.bundle.manifest.spec_as(GenerateSpec).start_always
            decided = {**start.shape, "tokenizer": kind_of(start.tokenizer), "lines": lines}
            settings = override(settings, decided)
        lines, seed = settings.lines, settings.seed
        if settings.dynamic and lines:
            raise TrainingError("--dynamic follows one text; with --lines each starts afresh: leave one out")
        # Characters behind an unknown word would be told for nothing.
        unit: Unit = "word" if settings.tokenizer == "word" else "character"
        if options.dataset is not None:
            corpus = load_built_in(options.dataset, lines, seed, DataStore.open(data), unit)
        else:
            assert options.text is not None
            corpus = load_file(options.text, lines, seed, unit)
        return cls(options, settings, corpus, start)

    def bundle_name(self) -> str:
        return self._dataset or self.task

    def build_net(self) -> LanguageModel:
        net = LanguageModel(pick(TokenNetConfig, self.settings, vocabulary=self._codec.size))
        if self._start is not None:
            self._start.give(net)
        return net

    @property
    def batches_per_epoch(self) -> int:
        if self.settings.lines:
            return -(-len(self._train) // self.settings.batch_size)
        # A random offset may cost the last one, which only the learning rate would notice.
        return num_stream_batches(len(self._train[0]), self._num_parts, self.settings.length)

    def batches(self, epoch: int) -> Iterator[TokenBatch]:
        """The batches of an epoch, shuffled (lines) or shifted (stream) by seed and epoch."""
        random = np.random.default_rng((self.settings.seed, epoch))
        if self.settings.lines:
            for group in self._line_groups(random):
                yield from line_batches(self._train, len(group), self._boundary, group)
        else:
            stream = self._stream(random)
            offset = int(random.integers(max(1, min(self.settings.length, len(stream) // 4))))
            yield from stream_batches(stream, self._num_parts, self.settings.length, offset)

    def _stream(self, random: np.random.Generator) -> NDArray[np.int64]:
        """The training text, under other names where that is asked for."""
        if self._renamer is None:
            return self._train[0]
        text = self._renamer.renamed(random, self.settings.rename_speakers)
        return np.asarray(self._codec.encode(text), np.int64)

    def _line_groups(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        """Lines of about the same length together, so that little is padding; in random order."""
        lengths = np.asarray([len(line) for line in self._train])
        order = np.argsort(lengths * random.uniform(0.8, 1.2, len(lengths)), kind="stable")
        size = self.settings.batch_size
        groups = [order[begin : begin + size] for begin in range(0, len(order), size)]
        return [groups[index] for index in random.permutation(len(groups))]

    def loss(self, net: LanguageModel, batch: TokenBatch) -> Tensor:
        return self._loss(net, batch)

    def validate(self, net: LanguageModel) -> float:
        """Nats per character, or per word, of the validation part, at the temperature that suits it best."""
        _, nats = best_temperature(net, self._held_out)
        return nats / count_units(self._corpus.parts.validation, self.settings.lines, self._corpus.unit)

    def _held_out(self) -> Iterator[TokenBatch]:
        return whole_batches(self._validation, self._boundary, self.settings.lines, _VALIDATION_PARTS)

    def measure(self, net: LanguageModel) -> list[Quality]:
        lines, corpus = self.settings.lines, self._corpus
        figure = measure(net, self._codec, corpus, lines, baselines=True)
        if not self.settings.dynamic:
            return [figure]
        follower = Follower.of(net, self.batches(0))
        rate, decay = chosen(follower, self._validation[0], self._boundary)
        (ids,) = encode_many(self._codec, corpus.parts.test)
        nats = follower.nats(np.asarray(ids, np.int64), self._boundary, rate, decay)
        return [figure, dynamic_figure(figure, nats, rate, decay, corpus)]

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        assert bundle.tokenizer is not None
        codec, seed = TextCodec(bundle.tokenizer), bundle.manifest.provenance.seed
        titles = dict.fromkeys(figure.dataset for figure in bundle.manifest.quality)
        corpora = [
            load_built_in(title, PRESETS[title].lines, seed, store) for title in titles if title in PRESETS
        ]
        return [measure(GraphNet(bundle), codec, corpus, PRESETS[corpus.title].lines) for corpus in corpora]

    @property
    def spec(self) -> GenerateSpec:
        lines = self.settings.lines
        return GenerateSpec(
            vocabulary=self._codec.size,
            unit="character" if self.settings.tokenizer == "char" else "token",
            start_token=self._boundary,
            end_token=self._boundary if lines else None,
            start_always=lines,
        )

    @property
    def description(self) -> str:
        return f"Continues text in the manner of {self._corpus.title}, one {self.spec.unit} at a time."

    def after(self, net: LanguageModel, report: FitReport) -> LanguageModel:
        """With one temperature for held-out text; weights that no epoch has bettered stay as they are."""
        if report.best_epoch >= 0:
            calibrate(net.eval(), self._held_out)
        characters = self.spec.unit == "character"
        self._samples = samples_for_card(net, self._codec, self._boundary, characters=characters)
        return net

    @property
    def notes(self) -> str:
        origin = [self._start.origin] if self._start else []
        return "\n\n".join([NOTES.get(self._dataset or "", USER_NOTES), *origin, self._samples])

    def golden_steps(self) -> NDArray[np.int64]:
        """The beginning of the test part."""
        return first_tokens([self._boundary, *self._codec.encode(text)] for text in self._corpus.parts.test)

    @staticmethod
    def module_spec(module: UserModule) -> GenerateSpec:
        if module.labels:
            raise ExportError("labels name the outputs of a task that labels; text has none")
        if module.codec is None:
            raise ExportError(NO_TEXT)
        if module.outputs != module.vocabulary:
            raise ExportError(
                f"the linear head has {module.outputs} outputs, but there are {module.vocabulary} tokens"
            )
        start = module.start_token
        if start is None:
            try:
                start = line_end_token(module.codec)
            except TrainingError as error:
                raise ExportError(f"{error.message}; give start_token") from error
        return GenerateSpec(
            vocabulary=module.vocabulary, unit="token", start_token=start, end_token=module.end_token
        )


def _tokenizer(settings: GenerateSettings, texts: Sequence[str]) -> str:
    match settings.tokenizer:
        case "char":
            return character_tokenizer(texts)
        case "bpe":
            return bpe_tokenizer(texts, settings.vocab_size)
        case "word":
            return spaced_word_tokenizer(texts, settings.vocab_size)
