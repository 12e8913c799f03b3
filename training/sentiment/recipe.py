"""Labelled texts in, a bundle that labels texts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.bundle.manifest import Quality, Source
from app.bundle.reader import Bundle
from app.core.errors import ExportError, TrainingError
from app.features.text import TextCodec
from app.tasks.sentiment.spec import SentimentSpec
from training.data.download import DataStore
from training.graph_net import GraphNet
from training.loop_config import FitReport, LoopConfig
from training.options import RunOptions, override, pick
from training.recipe import NO_TEXT, Recipe, UserModule, check_choice, first_tokens
from training.sentiment.baselines import BagOfWords, majority_accuracy
from training.sentiment.batches import LabelledBatch, labelled_batches, num_labelled_batches, shorten
from training.sentiment.data import BUILT_IN, PATHS, Corpus, encode, load_csv, load_reviews
from training.sentiment.emoticons import TOKEN
from training.sentiment.measure import ReadingLoss, Verdicts, calibration, measure
from training.sentiment.net import Classifier, ClassifierConfig
from training.sentiment.notes import NOTES, USER_NOTES
from training.sentiment.pretraining import (
    CarriedTextLoss,
    TextModel,
    nats_per_token,
    num_chunks,
    text_chunks,
)
from training.sentiment.reviews import SENTIMENT_LABELS
from training.sentiment.settings import PRESETS, ReviewOptions, SentimentSettings
from training.sentiment.vectors import word_vectors
from training.stage import Stage
from training.start import leave_to
from training.token_start import TokenStart
from training.tokenizers import encode_many, word_tokenizer

_VECTOR_SCALE = 0.3
# What a classifier to start from decides.
_DECIDED = (
    "vocab_size",
    "min_count",
    "vectors",
    "cell",
    "nonlinearity",
    "layers",
    "hidden",
    "embedding",
)
_MIN_STEPS = 50


class SentimentRecipe(Recipe[Classifier, LabelledBatch]):
    """A classifier of texts, trained on one corpus or several."""

    task = "sentiment"
    about = "Train a text classifier on built-in data or on your own CSV, and export it."
    DataOptions = ReviewOptions
    Settings = SentimentSettings

    def __init__(
        self,
        options: ReviewOptions,
        settings: SentimentSettings,
        labels: tuple[str, ...],
        corpora: list[Corpus],
        sources: tuple[Source, ...],
        tokenizer: str | None = None,
        start: TokenStart | None = None,
    ) -> None:
        self._start = start
        self.settings, self.sources = settings, sources
        self.recorded = {"dataset": options.dataset, "csv": options.csv}
        if options.csv is not None:
            self.recorded |= {"text": options.text, "label": options.label}
        if start is not None:
            self.recorded["from"], self.decided = start.reference, _DECIDED
            tokenizer = start.tokenizer
            self.starts_trained = start.bundle.manifest.spec_as(SentimentSpec).labels == labels
        self._options, self._labels, self._corpora = options, labels, corpora
        texts = (text for corpus in corpora for text in corpus.train.texts)
        self.tokenizer = tokenizer or word_tokenizer(texts, settings.vocab_size, settings.min_count, TOKEN)
        self.codec = TextCodec(self.tokenizer)
        self._train = [encode(self.codec, corpus.train) for corpus in corpora]
        self._validation = [encode(self.codec, corpus.validation) for corpus in corpora]
        self._shortened = [
            shorten(tokens, settings.max_tokens) for part in self._train for tokens in part.tokens
        ]
        if start is not None:
            start.doubt(self.codec, self._shortened)
        # Few texts come in small batches, or an epoch would hardly move the weights.
        self._max_batch = max(8, min(settings.max_batch, len(self._shortened) // _MIN_STEPS))
        self._first = ""
        self._loss = ReadingLoss(settings.running_weight, settings.running_from)

    @classmethod
    def load(cls, options: ReviewOptions, given: Mapping[str, Any], data: Path | None) -> Self:
        check_choice(options.dataset, options.csv, "--csv", BUILT_IN)
        settings = override(PRESETS.get(options.dataset or "", SentimentSettings()), given)
        start = None
        if options.start is not None:
            start = TokenStart(options.start, cls.task, Path(given.get("out") or RunOptions().out))
            leave_to(start.reference, _DECIDED, given)
            again = given.get("pretrain_epochs") or 0
            settings = override(settings, {**start.shape, "vectors": False, "pretrain_epochs": again})
        if options.csv is not None:
            labels, corpora, sources = load_csv(options.csv, options.text, options.label, settings.seed)
        else:
            labels = SENTIMENT_LABELS
            corpora, sources = load_reviews(DataStore.open(data), settings.seed)
        return cls(options, settings, labels, corpora, sources, start=start)

    def on(self, corpora: list[Corpus], **settings: Any) -> Self:
        """The same labels and tokenizer on other texts; ``settings`` are those that differ."""
        changed = replace(self.settings, **settings)
        return type(self)(self._options, changed, self._labels, corpora, self.sources, self.tokenizer)

    def bundle_name(self) -> str:
        return self.task

    def build_net(self) -> Classifier:
        settings, vocabulary = self.settings, self.codec.size
        config = pick(ClassifierConfig, settings, vocabulary=vocabulary, labels=len(self._labels))
        if self._start is not None:
            return self._started(self._start, config)
        net = Classifier(config)
        texts = [tokens for part in self._train for tokens in part.tokens]
        # Texts of one word say nothing about which words go together.
        if settings.vectors and vocabulary > 2 * settings.embedding and max(map(len, texts)) > 1:
            vectors = word_vectors(texts, vocabulary, settings.embedding, settings.seed)
            net.embedding.weight.data.copy_(torch.from_numpy(vectors * _VECTOR_SCALE))
        return net

    def _started(self, start: TokenStart, config: ClassifierConfig) -> Classifier:
        """What ``start`` knows of words and of labels of the same name; others begin without a preference."""
        known = start.bundle.manifest.spec_as(SentimentSpec).labels
        before, net = Classifier(replace(config, labels=len(known))), Classifier(config)
        start.give(before)
        net.embedding.load_state_dict(before.embedding.state_dict())
        net.recurrent.load_state_dict(before.recurrent.state_dict())
        places = {name.casefold(): place for place, name in enumerate(known)}
        for ours, theirs in zip(net.head.parameters(), before.head.parameters(), strict=True):
            for place, name in enumerate(self._labels):
                known_at = places.get(name.casefold())
                ours.data[place] = 0.0 if known_at is None else theirs.data[known_at]
        return net

    def before(self, net: Classifier) -> Stage | None:
        settings = self.settings
        if not settings.pretrain_epochs:
            return None
        size = {"max_batch": self._max_batch, "batch_tokens": settings.batch_tokens}
        texts = encode_many(self.codec, (text for each in self._corpora for text in each.running_texts))
        if max(map(len, texts), default=0) < 2:
            raise TrainingError(
                "--pretrain-epochs: there is no training text of two words or more that is in no test part; "
                "leave it out"
            )
        held_out = [
            tokens
            for train, part in zip(self._train, self._validation, strict=True)
            for tokens in part.tokens
            if train.tokens
        ]
        return Stage(
            name="pretraining",
            net=TextModel(net, settings.pretrain_noise),
            batches=lambda epoch: text_chunks(
                texts,
                settings.pretrain_length,
                **size,
                random=np.random.default_rng((settings.seed, epoch)),
            ),
            batches_per_epoch=num_chunks(texts, settings.pretrain_length, **size),
            loss=CarriedTextLoss(),
            validate=lambda model: nats_per_token(model, held_out, **size),
            config=pick(
                LoopConfig,
                settings,
                epochs=settings.pretrain_epochs,
                patience=settings.pretrain_epochs,
                learning_rate=settings.pretrain_learning_rate,
            ),
            done=self._pretrained,
        )

    def _pretrained(self, report: FitReport) -> None:
        self._first = (
            " Before it saw a label it was a language model of the whole texts among them, less those that "
            f"are also in a test part: {report.best_score:.2f} nats a word on held-out texts after "
            f"{report.epochs_run} epochs."
        )

    @property
    def batches_per_epoch(self) -> int:
        return num_labelled_batches(self._shortened, self._max_batch, self.settings.batch_tokens)

    def batches(self, epoch: int) -> Iterator[LabelledBatch]:
        """The batches of an epoch, in an order given by seed and epoch."""
        return labelled_batches(
            self._shortened,
            [label for part in self._train for label in part.labels],
            [sure for part in self._train for sure in part.confidence],
            max_batch=self._max_batch,
            batch_tokens=self.settings.batch_tokens,
            random=np.random.default_rng((self.settings.seed, epoch)),
        )

    def loss(self, net: Classifier, batch: LabelledBatch) -> Tensor:
        return self._loss(net, batch)

    def validate(self, net: Classifier) -> float:
        """Share of wrong labels, each corpus weighing the same."""
        return float(np.mean([1.0 - Verdicts.of(net, part).accuracy for part in self._validation]))

    def after(self, net: Classifier, report: FitReport) -> Classifier:
        """With calibrated probabilities; weights that no epoch has bettered stay as they are."""
        if report.best_epoch >= 0:
            found = calibration([Verdicts.of(net, part) for part in self._validation], len(self._labels))
            for parameter in net.head.parameters():
                parameter.data /= found.temperature
            net.head.bias.data += torch.from_numpy(found.biases).float()
        return net

    def measure(self, net: Classifier) -> list[Quality]:
        figures = []
        for corpus, train, held_out in zip(self._corpora, self._train, self._validation, strict=True):
            test = encode(self.codec, corpus.test)
            known = (train if train.tokens else self._train[0]).only(set(test.labels))
            regression = BagOfWords(known.pair, held_out.only(set(test.labels)).pair, self.codec.size)
            baselines = {
                "majority": majority_accuracy(known.labels, test.labels),
                "bag-of-words logistic regression": regression.accuracy(*test.pair),
            }
            figures += measure(Verdicts.of(net, test), corpus, baselines)
        return figures

    @classmethod
    def measure_again(cls, bundle: Bundle, store: DataStore) -> list[Quality]:
        if not any(source.name in PATHS for source in bundle.manifest.provenance.data):
            return []
        assert bundle.tokenizer is not None
        codec, net = TextCodec(bundle.tokenizer), GraphNet(bundle)
        names = bundle.manifest.spec_as(SentimentSpec).labels
        corpora, _ = load_reviews(store, bundle.manifest.provenance.seed)
        figures = []
        for corpus in corpora:
            # Where it has no place for a label, data with that label are not asked about.
            places = [names.index(name) if name in names else -1 for name in corpus.names]
            if all(places[label] >= 0 for label in set(corpus.test.labels)):
                figures += measure(Verdicts.of(net, encode(codec, corpus.test), places), corpus)
        return figures

    @property
    def spec(self) -> SentimentSpec:
        return SentimentSpec(vocabulary=self.codec.size, labels=self._labels)

    @property
    def description(self) -> str:
        return f"Labels a text as one of: {', '.join(self._labels)}."

    @property
    def notes(self) -> str:
        said = NOTES.get(self._options.dataset or "", USER_NOTES) + self._first
        return f"{said}\n\n{self._start.origin}" if self._start else said

    def golden_steps(self) -> NDArray[np.int64]:
        """The beginning of the test part."""
        return first_tokens(encode(self.codec, self._corpora[0].test).tokens)

    @staticmethod
    def module_spec(module: UserModule) -> SentimentSpec:
        if module.start_token is not None or module.end_token is not None:
            raise ExportError("start_token and end_token are for a task that writes; labels need none")
        if module.codec is None:
            raise ExportError(NO_TEXT)
        if module.outputs != len(module.labels):
            raise ExportError(
                f"the linear head has {module.outputs} outputs, but there are {len(module.labels)} labels"
            )
        return SentimentSpec(vocabulary=module.vocabulary, labels=module.labels)
