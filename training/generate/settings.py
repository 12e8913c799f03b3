"""The options of ``rnnserve-train generate``, and their tuned values for the built-in texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from training import options
from training.generate.data import BUILT_IN
from training.tokenizers import TextUnit


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Which text to train on."""

    dataset: Annotated[str | None, Option(help=f"A built-in data set: {', '.join(BUILT_IN)}.")] = None
    text: Annotated[Path | None, Option(help="Your UTF-8 text file.")] = None
    start: Annotated[
        str | None,
        Option("--from", help="Start from this language model of the models folder: name@version."),
    ] = None


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """Everything that decides the result of a run, apart from the data."""

    lines: Annotated[bool, Option(help="Each line is a text of its own.")] = False
    tokenizer: Annotated[TextUnit, Option(help="Unit of text.")] = "char"
    vocab_size: Annotated[int, Option(help="Tokens of the bpe and word tokenizers.")] = 2000
    cell: options.CellName = "lstm"
    nonlinearity: options.NonlinearityName = "tanh"
    layers: options.Layers = 1
    hidden: options.Hidden = 256
    embedding: options.Embedding = 64
    dropout: options.HeadDropout = 0.2
    embedding_dropout: options.EmbeddingDropout = 0.0
    recurrent_dropout: options.RecurrentDropout = 0.0
    tied: Annotated[bool, Option(help="The head's weights are the embedding's.")] = False
    epochs: options.Epochs = 20
    patience: options.Patience = 5
    batch_size: Annotated[int, Option(min=1, help="Parallel sequences.")] = 64
    length: Annotated[int, Option(min=1, help="Steps of a batch.")] = 128
    optimizer: options.OptimizerName = "adamw"
    learning_rate: options.LearningRate = 2e-3
    weight_decay: options.WeightDecay = 0.0
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 0
    average_decay: options.AverageDecay = 0.0
    rename_speakers: Annotated[
        float, Option(min=0, max=1, help="Share of a play's speakers renamed in every epoch.")
    ] = 0.0
    dynamic: Annotated[
        bool, Option(help="Also measure a text's test part while the weights go on learning from it.")
    ] = False
    precision: options.PrecisionName = "float32"
    seed: options.Seed = 0
    device: options.Device = "cpu"


PRESETS = {
    "tinyshakespeare": GenerateSettings(
        layers=2,
        hidden=448,
        embedding=128,
        dropout=0.5,
        embedding_dropout=0.1,
        recurrent_dropout=0.4,
        epochs=24,
        patience=8,
        batch_size=24,
        length=256,
        learning_rate=3e-3,
        weight_decay=0.02,
        warmup_steps=100,
        average_decay=0.998,
        dynamic=True,
        precision="bfloat16",
    ),
    "ptb": GenerateSettings(
        tokenizer="word",
        vocab_size=10_000,
        layers=2,
        hidden=512,
        embedding=512,
        tied=True,
        dropout=0.4,
        embedding_dropout=0.25,
        recurrent_dropout=0.3,
        epochs=16,
        patience=16,
        batch_size=40,
        length=35,
        learning_rate=3e-3,
        weight_decay=0.02,
        warmup_steps=100,
        average_decay=0.998,
        dynamic=True,
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
