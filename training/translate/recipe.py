"""Sentences and their translations in, a bundle that translates out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from app.core.errors import DataError
from app.features.text import TextCodec
from training.options import override, pick
from training.recipe import Recipe
from training.tokenizers import bpe_tokenizer
from training.translate.batches import PAD, Batch, batches
from training.translate.corpus import Corpus, Example, Pair, Vocabulary
from training.translate.data import load
from training.translate.net import Translator, TranslatorConfig
from training.translate.settings import BUILT_IN, PRESETS, TranslateOptions, TranslateSettings


class TranslateRecipe(Recipe[Translator, Batch]):
    """A network that translates sentences."""

    task = "translate"
    about = "Train a network that translates, on built-in sentences or your own, and export it."
    DataOptions = TranslateOptions
    Settings = TranslateSettings

    def __init__(self, options: TranslateOptions, settings: TranslateSettings, corpus: Corpus) -> None:
        self.settings, self.sources = settings, corpus.sources
        names: tuple[str, ...] = ("dataset", "pairs")
        if options.csv is not None:
            names = ("csv", "source_column", "target_column", "pairs")
        elif options.source is not None:
            names = ("source", "target", "pairs")
        self.recorded = {name: getattr(options, name) for name in names}
        self._options, self._corpus = options, corpus
        texts = (text for pair in corpus.train for text in (pair.source, pair.target))
        self.tokenizer = bpe_tokenizer(dict.fromkeys(texts), settings.vocab_size)
        self.vocabulary = Vocabulary(TextCodec(self.tokenizer), corpus.languages)
        self._train = self._examples(corpus.train)
        self._validation = self._examples(corpus.validation)
        if not self._train or not self._validation:
            raise DataError(f"no sentence has at most {settings.max_length} tokens; --max-length allows longer ones")

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
        return cls(options, settings, load(options, data, settings.seed))

    def bundle_name(self) -> str:
        return "translate"

    def build_net(self) -> Translator:
        config = pick(TranslatorConfig, self.settings, vocabulary=self.vocabulary.size)
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
        said = net.decode(inputs, *net.encode(source))[0]
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
