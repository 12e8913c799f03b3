"""``rnnserve-train generate``: text in, a bundle that continues text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import TOKENIZER_FILE, Quality
from app.core.errors import TrainingError
from app.features.text import TextCodec
from training.data.download import DataStore
from training.export import describe_run, export_bundle
from training.generate.corpus import (
    TextSplit,
    TokenBatch,
    line_batches,
    num_stream_batches,
    stream_batches,
)
from training.generate.data import count_characters, load_corpus, ngram_baselines
from training.generate.measure import CarriedLoss, batch_nats, stream_nats
from training.generate.net import LanguageModel, LanguageModelConfig
from training.generate.speakers import SpeakerRenamer
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
from training.token_net import TokenNet
from training.tokenizers import bpe_tokenizer, character_tokenizer, encode_many, line_end_token

VALIDATION_PARTS = 10
_MIN_STEPS = 16


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """Everything that decides the result of a run, apart from the data.

    Attributes:
        lines: each line is a text of its own.
        tokenizer: ``char`` or ``bpe``.
        vocab_size: tokens of the ``bpe`` tokenizer.
        batch_size: parallel sequences.
        length: steps of a batch (streams).
        average_decay: of the moving average of the weights that is kept; 0 keeps the weights.
        rename_speakers: share of a play's speakers that have another name in every epoch.

    The others are those of the network and of :class:`training.loop.LoopConfig`.
    """

    lines: bool = False
    tokenizer: str = "char"
    vocab_size: int = 2000
    cell: CellName = "lstm"
    nonlinearity: NonlinearityName = "tanh"
    layers: int = 1
    hidden: int = 256
    embedding: int = 64
    dropout: float = 0.2
    embedding_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    epochs: int = 20
    patience: int = 5
    batch_size: int = 64
    length: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    warmup_steps: int = 0
    average_decay: float = 0.0
    rename_speakers: float = 0.0
    precision: PrecisionName = "float32"
    seed: int = 0
    device: str = "cpu"

    @property
    def unit(self) -> Literal["character", "token"]:
        """What one step of the network is."""
        return "character" if self.tokenizer == "char" else "token"


PRESETS = {
    "tinyshakespeare": GenerateSettings(
        layers=2,
        hidden=384,
        embedding=64,
        dropout=0.4,
        embedding_dropout=0.1,
        recurrent_dropout=0.3,
        epochs=15,
        patience=8,
        batch_size=24,
        length=256,
        learning_rate=3e-3,
        weight_decay=0.02,
        warmup_steps=100,
        average_decay=0.998,
        rename_speakers=0.8,
        precision="bfloat16",
    ),
    "names": GenerateSettings(
        lines=True,
        cell="rnn",
        hidden=256,
        embedding=64,
        dropout=0.3,
        embedding_dropout=0.1,
        recurrent_dropout=0.2,
        epochs=24,
        patience=6,
        batch_size=128,
        learning_rate=2e-3,
        weight_decay=0.02,
        warmup_steps=100,
        average_decay=0.998,
    ),
}
_USER_NOTES = (
    "Trained on a text of the user's own. The model continues text in its manner; it knows no "
    "facts, and can repeat what it was trained on word for word."
)
_NOTES = {
    "tinyshakespeare": (
        "A character model for demonstrations of streaming generation. It writes in the manner of "
        "Shakespeare's plays; spelling is mostly right, meaning is not. The figure is measured on the "
        "last 10 % of the text, read in order from the start row with the state carried through; the "
        "first 90 % trains, and its last twentieth chose the weights. In training the speakers of the "
        "plays got other names in every epoch, so that names are copied from the text before rather "
        "than known. The text is in the public domain."
    ),
    "names": (
        "Makes up first names, one per line: a line end begins and ends a name. Names of the United "
        "States' social security records are what it learned from, so it shares their mixture. The "
        "figure counts the end of a name as a character; the split is random by name, so the test "
        "names are unseen, though similar."
    ),
}
_REFERENCES = {"names": {"makemore transformer (its README, another split)": 1.92}}


class TextTrainer:
    """Batches and validation of one corpus for :func:`training.loop.fit`."""

    def __init__(self, codec: TextCodec, parts: TextSplit, settings: GenerateSettings) -> None:
        self._settings = settings
        self._boundary = line_end_token(codec)
        self._codec = codec
        self._renamer = SpeakerRenamer(parts.train[0]) if settings.rename_speakers else None
        self._train = [np.asarray(ids, np.int64) for ids in encode_many(codec, parts.train)]
        self._validation = [np.asarray(ids, np.int64) for ids in encode_many(codec, parts.validation)]
        self._num_validation_characters = count_characters(parts.validation, settings.lines)
        if not settings.lines:
            # A short text is cut into fewer parts, or an epoch would hardly move the weights.
            self._parts = max(
                1, min(settings.batch_size, len(self._train[0]) // (_MIN_STEPS * settings.length))
            )

    @property
    def batches_per_epoch(self) -> int:
        """How many batches an epoch has."""
        if self._settings.lines:
            return -(-len(self._train) // self._settings.batch_size)
        # A random offset may cost the last one, which only the learning rate would notice.
        return num_stream_batches(len(self._train[0]), self._parts, self._settings.length)

    def batches(self, epoch: int) -> Iterator[TokenBatch]:
        """The batches of an epoch, shuffled (lines) or shifted (stream) by seed and epoch."""
        random = np.random.default_rng((self._settings.seed, epoch))
        if self._settings.lines:
            for group in self._line_groups(random):
                yield from line_batches(self._train, len(group), self._boundary, group)
        else:
            stream = self._stream(random)
            offset = int(random.integers(min(self._settings.length, len(stream) // 4)))
            yield from stream_batches(stream, self._parts, self._settings.length, offset)

    def _stream(self, random: np.random.Generator) -> NDArray[np.int64]:
        """The training text, under other names where that is asked for."""
        if self._renamer is None:
            return self._train[0]
        text = self._renamer.renamed(random, self._settings.rename_speakers)
        return np.asarray(self._codec.encode(text), np.int64)

    def _line_groups(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        """Lines of about the same length together, so that little is padding; in random order."""
        lengths = np.asarray([len(line) for line in self._train])
        order = np.argsort(lengths * random.uniform(0.8, 1.2, len(lengths)), kind="stable")
        size = self._settings.batch_size
        groups = [order[begin : begin + size] for begin in range(0, len(order), size)]
        return [groups[index] for index in random.permutation(len(groups))]

    def validate(self, net: LanguageModel) -> float:
        """Nats per character of the validation part."""
        return measure(net, self._validation, self._boundary, self._settings.lines, VALIDATION_PARTS) / (
            self._num_validation_characters
        )


def build_tokenizer(settings: GenerateSettings, texts: Sequence[str]) -> str:
    """The JSON text of the tokenizer the settings ask for, made from the training part.

    Raises:
        TrainingError: there is no such tokenizer, or its vocabulary is too small.
    """
    if settings.tokenizer == "char":
        return character_tokenizer(texts)
    if settings.tokenizer == "bpe":
        return bpe_tokenizer(texts, settings.vocab_size)
    raise TrainingError(f"unknown tokenizer {settings.tokenizer!r}; allowed: char, bpe")


def measure(
    net: TokenNet, texts: Sequence[NDArray[np.int64]], boundary: int, lines: bool, num_parts: int = 1
) -> float:
    """Total nats of texts: of each line with its end, or of one stream in order."""
    if lines:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        return batch_nats(net, line_batches(texts, 256, boundary, order))
    return sum(stream_nats(net, text, boundary, max(1, min(num_parts, len(text) // 200))) for text in texts)


def golden_tokens(texts: Sequence[NDArray[np.int64]], boundary: int) -> NDArray[np.int64]:
    """Steps to record in the bundle: the beginning of the test part, ``[3, 24]``."""
    joined = np.concatenate([np.concatenate([[boundary], text]) for text in texts[:72]])
    return np.resize(joined[:72], (3, 24)).astype(np.int64)


def run(
    settings: GenerateSettings,
    *,
    dataset: str | None,
    text: Path | None,
    name: str,
    version: str,
    out: Path,
    data: Path | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    threads: int | None = None,
    quiet: bool = False,
) -> Path:
    """Train, evaluate and export one language model.

    Args:
        settings: what decides the result.
        dataset: name of a built-in data set, or
        text: the user's UTF-8 text file.
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
    corpus = load_corpus(
        dataset, text, settings.lines, settings.seed, DataStore.open(data) if dataset else None
    )
    definition = build_tokenizer(settings, corpus.parts.train)
    codec = TextCodec(definition)
    boundary = line_end_token(codec)
    seed_everything(settings.seed)
    net = LanguageModel(
        LanguageModelConfig(
            vocabulary=codec.size,
            cell=settings.cell,
            nonlinearity=settings.nonlinearity,
            embedding=settings.embedding,
            hidden=settings.hidden,
            layers=settings.layers,
            dropout=settings.dropout,
            embedding_dropout=settings.embedding_dropout,
            recurrent_dropout=settings.recurrent_dropout,
        )
    )
    trainer = TextTrainer(codec, corpus.parts, settings)
    report = train(
        net,
        batches=trainer.batches,
        batches_per_epoch=trainer.batches_per_epoch,
        loss=CarriedLoss(),
        validate=trainer.validate,
        config=loop_config(settings),
        checkpoint=checkpoint,
        resume=resume,
        quiet=quiet,
    )
    test = [np.asarray(ids, np.int64) for ids in encode_many(codec, corpus.parts.test)]
    nats = measure(net, test, boundary, settings.lines) / count_characters(corpus.parts.test, settings.lines)
    quality = Quality(
        metric="nats per character",
        dataset=corpus.title,
        split="random tenth of the lines, by seed" if settings.lines else "last 10 %",
        value=nats,
        higher_is_better=False,
        baselines=ngram_baselines(corpus.parts, settings.lines),
        references=_REFERENCES.get(dataset or "", {}),
    )
    source = {"dataset": dataset, "text": text.name if text else None, "name": name, "version": version}
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description=f"Continues text in the manner of {corpus.title}, one {settings.unit} at a time.",
        spec=GenerateSpec(
            vocabulary=codec.size,
            unit=settings.unit,
            start_token=boundary,
            end_token=boundary if settings.lines else None,
            start_always=settings.lines,
        ),
        provenance=describe_run(
            recorded_command("generate", source, settings), settings.seed, corpus.sources, report.seconds
        ),
        quality=[quality],
        files={TOKENIZER_FILE: definition.encode()},
        golden_steps=golden_tokens(test, boundary),
        card_notes=_NOTES.get(dataset or "", _USER_NOTES),
    )
