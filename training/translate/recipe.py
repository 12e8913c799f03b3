"""Sentences and their translations in, a bundle that translates out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.bundle.manifest import Quality
from app.bundle.reader import Bundle
from app.core.errors import DataError, ExportError
from app.features.text import TextCodec, codec_of
from app.tasks.translate.spec import Language, TranslateSpec
from training.attending.fitting import fitted
from training.attending.search import MeasuredBundle, MeasuredNet
from training.data.download import DataStore
from training.options import override, pick
from training.recipe import Recipe, UserModule, first_tokens
from training.tokenizers import bpe_tokenizer
from training.translate.batches import PAD, Batch, batches
from training.translate.corpus import Corpus, Example, Pair, Vocabulary
from training.translate.data import FOLDER, load
from training.translate.marks import marks
from training.translate.measure import beside, figures
from training.translate.net import Encoder, Translator, TranslatorConfig
from training.translate.notes import NOTES, USER_NOTES
from training.translate.settings import BUILT_IN, MULTI30K, PRESETS, TranslateOptions, TranslateSettings


class TranslateRecipe(Recipe[Translator, Batch]):
    """A network that translates sentences."""

    task = "translate"
    about = "Train a network that translates, on built-in sentences or your own, and export it."
    DataOptions = TranslateOptions
    Settings = TranslateSettings

    def __init__(self, options: TranslateOptions, settings: TranslateSettings, corpus: Corpus) -> None:
        self.settings, self.sources = settings, corpus.sources
        names: tuple[str, ...] = ("dataset", "pairs", "figures")
        if options.csv is not None:
            names = ("csv", "source_column", "target_column", "pairs", "figures")
        elif options.source is not None:
            names = ("source", "target", "pairs", "figures")
        self.recorded = {name: getattr(options, name) for name in names}
        self._options, self._corpus = options, corpus
        texts = (text for pair in corpus.train for text in (pair.source, pair.target))
        self.tokenizer = bpe_tokenizer(dict.fromkeys(texts), settings.vocab_size)
        self.vocabulary = Vocabulary(TextCodec(self.tokenizer), corpus.languages)
        self._train = self._examples(corpus.train)
        self._validation = self._examples(corpus.validation)
        if not self._train or not self._validation:
            raise DataError(
                f"no sentence has at most {settings.max_length} tokens; --max-length allows longer ones"
            )

    def _examples(self, pairs: list[Pair] | Any) -> list[Example]:
        """Those that are not too long."""
        limit = self.settings.max_length
        found = map(self.vocabulary.example, pairs)
        return [example for example in found if len(example.source) <= limit >= len(example.target)]

    @classmethod
    def load(cls, options: TranslateOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        if options.dataset is not None and options.dataset not in BUILT_IN:
            raise DataError(f"unknown data set {options.dataset!r}; allowed: {', '.join(BUILT_IN)}")
        settings = override(PRESETS.get(options.dataset or "", TranslateSettings()), given)
        recipe = cls(options, settings, load(options, data, settings.seed))
        recipe.settings = fitted(settings, recipe.batches_per_epoch, given)
        return recipe

    def bundle_name(self) -> str:
        return "translate"

    def build_net(self) -> Translator:
        settings = self.settings
        config = pick(
            TranslatorConfig, settings, vocabulary=self.vocabulary.size, values=2 * settings.encoder
        )
        return Translator(config, self.vocabulary.codec.unknown or 0)

    @property
    def batches_per_epoch(self) -> int:
        return sum(1 for _ in batches(self._train, self.settings.batch))

    def batches(self, epoch: int) -> Iterator[Batch]:
        return batches(self._train, self.settings.batch, np.random.default_rng((self.settings.seed, epoch)))

    def loss(self, net: Translator, batch: Batch) -> Tensor:
        return self._losses(net, batch, self.settings.smoothing).mean()

    def _losses(self, net: Translator, batch: Batch, smoothing: float) -> Tensor:
        source, inputs, targets = (part.to(net.device) for part in batch)
        lengths = torch.full((len(source),), source.shape[1], device=source.device)
        said = net.decode(inputs, *net.encode(source, lengths), lengths)[0]
        kept = targets != PAD
        return net.loss(said[kept], targets[kept], smoothing)

    def validate(self, net: Translator) -> float:
        """Nats a token."""
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in batches(self._validation, self.settings.batch):
                losses = self._losses(net, batch, 0.0)
                total, count = total + float(losses.sum()), count + len(losses)
        return total / count

    def measure(self, net: Translator) -> list[Quality]:
        found = figures(MeasuredNet(net, Encoder(net)), self.vocabulary, self._corpus)
        folder = self._options.figures
        return found if folder is None else beside(found, folder)

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        manifest = bundle.manifest
        if not any(source.name.startswith(FOLDER) for source in manifest.provenance.data):
            return []
        spec = manifest.spec_as(TranslateSpec)
        corpus = load(TranslateOptions(dataset=MULTI30K, pairs=",".join(spec.pairs)), store.folder, 0)
        vocabulary = Vocabulary(
            codec_of(bundle, spec.vocabulary), tuple(item.code for item in spec.languages)
        )
        return figures(MeasuredBundle(bundle), vocabulary, corpus, baselines=False)

    @property
    def spec(self) -> TranslateSpec:
        vocabulary = self.vocabulary
        return TranslateSpec(
            vocabulary=vocabulary.size,
            end_token=vocabulary.end,
            languages=tuple(
                Language(code=code, start_token=vocabulary.start(code), letters=letters, words=words)
                for code, (letters, words) in marks(self._corpus).items()
            ),
            directions=self._corpus.directions,
            max_tokens=self.settings.max_length - 1,
            attention=bool(self.settings.attention),
        )

    @property
    def description(self) -> str:
        pairs = " and ".join(f"{source} to {target}" for source, target in self._corpus.directions)
        return f"Translates {pairs}, sentence by sentence."

    @property
    def notes(self) -> str:
        return NOTES.get(self._options.dataset or "", USER_NOTES)

    def golden_steps(self) -> NDArray[np.int64]:
        """The beginnings of three translations."""
        return first_tokens(example.target for example in self._validation)

    def encoder(self, net: Translator) -> Encoder:
        return Encoder(net)

    def golden_inputs(self) -> list[NDArray[np.int64]]:
        """Three sentences."""
        return [np.array(example.source) for example in self._validation[:3]]

    @staticmethod
    def module_spec(module: UserModule) -> TranslateSpec:
        raise ExportError("a translator is an encoder and a decoder; train it with this task's recipe")
