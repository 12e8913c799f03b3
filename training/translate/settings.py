"""The options of ``rnnserve-train translate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from training import options

MULTI30K = "multi30k"
BUILT_IN = (MULTI30K,)


@dataclass(frozen=True, slots=True)
class TranslateOptions:
    """Which sentences to train on."""

    dataset: Annotated[str | None, Option(help=f"Built-in data: {', '.join(BUILT_IN)}.")] = None
    source: Annotated[Path | None, Option(help="Your text file, a sentence a line.")] = None
    target: Annotated[Path | None, Option(help="Its translations, line by line.")] = None
    csv: Annotated[Path | None, Option(help="Your CSV with a header, in place of two text files.")] = None
    source_column: Annotated[str, Option(help="Its column of sentences.")] = "source"
    target_column: Annotated[str, Option(help="Its column of translations.")] = "target"
    pairs: Annotated[
        str, Option(help="Directions to learn, of codes such as en and de; your data are in the first one.")
    ] = "en-de,de-en"
    figures: Annotated[
        Path | None,
        Option(help="Folder with a bundle of a run with --attention 0, whose figures join the card."),
    ] = None


@dataclass(frozen=True, slots=True)
class TranslateSettings:
    """Everything that decides the result of a run, apart from the data."""

    cell: Annotated[
        Literal["lstm", "gru"], Option(help="Recurrent cell; on a CPU, bfloat16 speeds up the lstm.")
    ] = "lstm"
    vocab_size: Annotated[int, Option(min=257, help="Tokens that all languages share.")] = 6000
    embedding: options.Embedding = 256
    encoder: Annotated[int, Option(min=1, help="Units of the encoder, in each direction.")] = 256
    hidden: options.Hidden = 224
    attention: Annotated[
        int, Option(min=0, max=128, help="Features that the decoder compares sentences by; 0: it sees none.")
    ] = 128
    dropout: options.HeadDropout = 0.4
    embedding_dropout: options.EmbeddingDropout = 0.2
    recurrent_dropout: options.RecurrentDropout = 0.0
    token_dropout: Annotated[float, Option(min=0, max=1, help="Tokens hidden while training.")] = 0.03
    smoothing: Annotated[float, Option(min=0, max=0.5, help="Of the labels.")] = 0.1
    max_length: Annotated[int, Option(min=1, max=1024, help="Tokens of a sentence, at most.")] = 128
    batch: Annotated[int, Option(min=1, help="Sentences of a batch.")] = 96
    epochs: options.Epochs = 16
    patience: options.Patience = 8
    learning_rate: options.LearningRate = 2e-3
    weight_decay: options.WeightDecay = 0.01
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 400
    average_decay: options.AverageDecay = 0.999
    precision: options.PrecisionName = "bfloat16"
    seed: options.Seed = 0
    device: options.Device = "cpu"


PRESETS = {MULTI30K: TranslateSettings()}
