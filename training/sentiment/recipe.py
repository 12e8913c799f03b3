"""``rnnserve-train sentiment``: labelled texts in, a bundle that labels texts out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app.bundle.manifest import TOKENIZER_FILE, Quality
from app.core.errors import DataError
from app.features.text import TextCodec
from training.data.download import DataStore
from training.export import describe_run, export_bundle
from training.loop import seed_everything
from training.run import (
    CellName,
    NonlinearityName,
    PrecisionName,
    loop_config,
    recorded_command,
    train,
    use_threads,
)
from training.sentiment.baselines import bag_of_words_accuracy
from training.sentiment.batches import LabelledBatch, labelled_batches, num_labelled_batches, shorten
from training.sentiment.data import Corpus, Labelled, encode, load_csv, load_reviews
from training.sentiment.majority import majority_accuracy
from training.sentiment.measure import ReadingLoss, score_labels
from training.sentiment.net import Classifier, ClassifierConfig
from training.sentiment.reviews import SENTIMENT_LABELS
from training.sentiment.vectors import word_vectors
from training.tokenizers import word_tokenizer

_VECTOR_SCALE = 0.3
_MIN_STEPS = 50


@dataclass(frozen=True, slots=True)
class SentimentSettings:
    """Everything that decides the result of a run, apart from the data.

    Attributes:
        vocab_size: words known, at most.
        min_count: words seen less often in training are unknown.
        word_dropout: share of the words hidden in training.
        vectors: start the embedding from co-occurrence vectors of the training texts.
        max_tokens: longer texts are shortened in training; never in evaluation.
        max_batch: texts of a batch.
        batch_tokens: steps of a batch.
        running_weight: weight of the loss of the running score.
        running_from: tokens from which a text's running score is trained.

    The others are those of the network and of :class:`training.loop.LoopConfig`.
    """

    vocab_size: int = 25_000
    min_count: int = 2
    cell: CellName = "gru"
    nonlinearity: NonlinearityName = "tanh"
    layers: int = 1
    hidden: int = 128
    embedding: int = 128
    dropout: float = 0.5
    embedding_dropout: float = 0.3
    recurrent_dropout: float = 0.2
    word_dropout: float = 0.1
    vectors: bool = True
    epochs: int = 10
    patience: int = 4
    max_tokens: int = 400
    max_batch: int = 256
    batch_tokens: int = 16_384
    running_weight: float = 0.3
    running_from: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    warmup_steps: int = 100
    average_decay: float = 0.998
    precision: PrecisionName = "float32"
    seed: int = 0
    device: str = "cpu"


PRESETS = {"sst-imdb": SentimentSettings(epochs=4, hidden=160, embedding_dropout=0.4)}
_USER_NOTES = (
    "Trained on labelled texts of the user's own. Figures are for a random tenth of them; texts "
    "of another kind, or another language, may be labelled worse."
)
_NOTES = {
    "sst-imdb": (
        "Says whether an English text about a film is positive or negative. It learned from whole "
        "reviews (IMDb) and from phrases of sentences (Stanford Sentiment Treebank), so short and "
        "long texts both work; texts about other things are labelled worse, and neutral texts get one "
        "of the two labels. Validation: 2,500 reviews held out of the IMDb training part, and the "
        "treebank's dev part. The published data repeat 123 reviews between IMDb's train and test "
        "parts, and 2 sentences between the treebank's; they were left as published."
    )
}
_REFERENCES = {
    "SST-2": {"constituency Tree-LSTM with GloVe (Tai et al. 2015)": 0.880},
    "IMDb": {"LSTM (Dai & Le 2015)": 0.865, "SA-LSTM with unlabelled reviews (Dai & Le 2015)": 0.9276},
}


class LabelTrainer:
    """Batches and validation of some corpora for :func:`training.loop.fit`."""

    def __init__(
        self, train: list[Labelled], validation: list[Labelled], settings: SentimentSettings
    ) -> None:
        self._settings = settings
        self._tokens = [shorten(tokens, settings.max_tokens) for part in train for tokens in part.tokens]
        self._labels = [label for part in train for label in part.labels]
        self._confidence = [sure for part in train for sure in part.confidence]
        self._validation = validation
        # Few texts come in small batches, or an epoch would hardly move the weights.
        self._max_batch = max(8, min(settings.max_batch, len(self._tokens) // _MIN_STEPS))

    @property
    def batches_per_epoch(self) -> int:
        """About how many batches an epoch has."""
        return num_labelled_batches(self._tokens, self._max_batch, self._settings.batch_tokens)

    def batches(self, epoch: int) -> Iterator[LabelledBatch]:
        """The batches of an epoch, in an order given by seed and epoch."""
        return labelled_batches(
            self._tokens,
            self._labels,
            self._confidence,
            max_batch=self._max_batch,
            batch_tokens=self._settings.batch_tokens,
            random=np.random.default_rng((self._settings.seed, epoch)),
        )

    def validate(self, net: Classifier) -> float:
        """Share of wrong labels, each corpus weighing the same."""
        return float(np.mean([1.0 - score_labels(net, *part.pair).accuracy for part in self._validation]))


def build_net(
    settings: SentimentSettings, vocabulary: int, num_labels: int, texts: list[list[int]]
) -> Classifier:
    """The network, its embedding started from co-occurrence vectors of ``texts`` when wanted."""
    seed_everything(settings.seed)
    net = Classifier(
        ClassifierConfig(
            vocabulary=vocabulary,
            labels=num_labels,
            cell=settings.cell,
            nonlinearity=settings.nonlinearity,
            embedding=settings.embedding,
            hidden=settings.hidden,
            layers=settings.layers,
            dropout=settings.dropout,
            embedding_dropout=settings.embedding_dropout,
            recurrent_dropout=settings.recurrent_dropout,
            word_dropout=settings.word_dropout,
        )
    )
    if settings.vectors and vocabulary > 2 * settings.embedding:
        vectors = word_vectors(texts, vocabulary, settings.embedding, settings.seed)
        net.embedding.weight.data.copy_(torch.from_numpy(vectors * _VECTOR_SCALE))
    return net


def run(
    settings: SentimentSettings,
    *,
    dataset: str | None,
    csv: Path | None,
    text: str = "text",
    label: str = "label",
    name: str,
    version: str,
    out: Path,
    data: Path | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    threads: int | None = None,
    quiet: bool = False,
) -> Path:
    """Train, evaluate and export one classifier.

    Args:
        settings: what decides the result.
        dataset: name of a built-in data set, or
        csv: the user's file, with
        text: the column of texts, and
        label: the column of labels.
        name: of the bundle.
        version: of the bundle.
        out: the models folder.
        data: folder with the data sets.
        checkpoint: where the run is kept after every epoch.
        resume: go on from the checkpoint.
        threads: CPU threads.
        quiet: show no progress.

    Returns:
        The bundle's folder.

    Raises:
        TrainingError: the data, the training or the export failed; the message says why.
    """
    use_threads(threads)
    if (dataset is None) == (csv is None):
        raise DataError(f"give either --csv FILE or --dataset NAME; data sets: {', '.join(PRESETS)}")
    if csv is not None:
        labels, corpora, sources = load_csv(csv, text, label, settings.seed)
    elif dataset in PRESETS:
        labels = SENTIMENT_LABELS
        corpora, sources = load_reviews(DataStore.open(data), settings.seed)
    else:
        raise DataError(f"unknown data set {dataset!r}; allowed: {', '.join(PRESETS)}")
    definition = word_tokenizer(
        (content for corpus in corpora for content in corpus.train.texts),
        settings.vocab_size,
        settings.min_count,
    )
    codec = TextCodec(definition)
    parts = [encode(codec, corpus.train, 0) for corpus in corpora]
    held_out = [encode(codec, corpus.validation, 0) for corpus in corpora]
    net = build_net(settings, codec.size, len(labels), [tokens for part in parts for tokens in part.tokens])
    trainer = LabelTrainer(parts, held_out, settings)
    report = train(
        net,
        batches=trainer.batches,
        batches_per_epoch=trainer.batches_per_epoch,
        loss=ReadingLoss(settings.running_weight, settings.running_from),
        validate=trainer.validate,
        config=loop_config(settings),
        checkpoint=checkpoint,
        resume=resume,
        quiet=quiet,
    )
    tests = [encode(codec, corpus.test, 0) for corpus in corpora]
    quality = [
        measure(net, corpus, part, kept, test, codec.size)
        for corpus, part, kept, test in zip(corpora, parts, held_out, tests, strict=True)
    ]
    source = {"dataset": dataset, "csv": csv.name if csv else None}
    columns = {"text": text, "label": label} if csv else {}
    command = recorded_command("sentiment", {**source, **columns, "name": name, "version": version}, settings)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description=f"Labels a text as one of: {', '.join(labels)}."[:500],
        spec=SentimentSpec(vocabulary=codec.size, labels=labels),
        provenance=describe_run(command, settings.seed, sources, report.seconds),
        quality=quality,
        files={TOKENIZER_FILE: definition.encode()},
        golden_steps=golden_tokens(tests[0]),
        card_notes=_NOTES.get(dataset or "", _USER_NOTES),
    )


def measure(
    net: Classifier, corpus: Corpus, train_part: Labelled, held_out: Labelled, test: Labelled, vocabulary: int
) -> Quality:
    """Accuracy on a corpus's test part, with the baselines trained on the same training part."""
    return Quality(
        metric="accuracy",
        dataset=corpus.title,
        split=corpus.split,
        value=score_labels(net, *test.pair).accuracy,
        higher_is_better=True,
        baselines={
            "majority": majority_accuracy(train_part.pair[1], test.labels),
            "bag-of-words logistic regression": bag_of_words_accuracy(
                train_part.pair, held_out.pair, test.pair, vocabulary
            ),
        },
        references=_REFERENCES.get(corpus.title, {}),
    )


def golden_tokens(test: Labelled) -> NDArray[np.int64]:
    """Steps to record in the bundle: the beginning of the test part, ``[3, 24]``."""
    joined = [token for tokens in test.tokens[:72] for token in tokens]
    return np.resize(np.asarray(joined[:72], np.int64), (3, 24))
