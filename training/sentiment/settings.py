"""The options of ``rnnserve-train sentiment``, and their tuned values for the built-in reviews."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from training import options
from training.sentiment.data import BUILT_IN


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Which texts to train on."""

    dataset: Annotated[str | None, Option(help=f"Built-in data: {', '.join(BUILT_IN)}.")] = None
    csv: Annotated[Path | None, Option(help="Your CSV with a header.")] = None
    text: Annotated[str, Option(help="Its column of texts.")] = "text"
    label: Annotated[str, Option(help="Its column of labels; any two or more.")] = "label"
    start: Annotated[
        str | None, Option("--from", help="Start from this classifier of the models folder: name@version.")
    ] = None


@dataclass(frozen=True, slots=True)
class SentimentSettings:
    """Everything that decides the result of a run, apart from the data."""

    vocab_size: Annotated[int, Option(help="Words known, at most.")] = 25_000
    min_count: Annotated[int, Option(min=1, help="Rarer words are unknown.")] = 2
    cell: options.CellName = "gru"
    nonlinearity: options.NonlinearityName = "tanh"
    layers: options.Layers = 1
    hidden: options.Hidden = 128
    embedding: options.Embedding = 128
    dropout: options.HeadDropout = 0.5
    embedding_dropout: options.EmbeddingDropout = 0.3
    recurrent_dropout: options.RecurrentDropout = 0.2
    word_dropout: Annotated[float, Option(min=0, max=1, help="Share of words hidden.")] = 0.1
    vectors: Annotated[bool, Option(help="Start from co-occurrence vectors.")] = True
    epochs: options.Epochs = 10
    patience: options.Patience = 4
    pretrain_epochs: Annotated[
        int, Option(min=0, help="Before that, as a language model of the same texts; 0: not at all.")
    ] = 0
    pretrain_learning_rate: Annotated[float, Option(help="Of the language model, at its highest.")] = 2e-3
    pretrain_noise: Annotated[
        float, Option(min=0, max=1, help="Its dropouts, as a share of the classifier's.")
    ] = 1.0
    pretrain_length: Annotated[int, Option(min=2, help="Steps that its gradients go back.")] = 70
    max_tokens: Annotated[int, Option(min=1, help="Longest text in training.")] = 400
    max_batch: Annotated[int, Option(min=1, help="Texts of a batch.")] = 256
    batch_tokens: Annotated[int, Option(min=1, help="Steps of a batch.")] = 16_384
    running_weight: Annotated[float, Option(min=0, help="Of the running score's loss.")] = 0.3
    running_from: Annotated[int, Option(min=0, help="Tokens from which it counts.")] = 50
    learning_rate: options.LearningRate = 1e-3
    weight_decay: options.WeightDecay = 0.02
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 100
    average_decay: options.AverageDecay = 0.998
    precision: options.PrecisionName = "float32"
    seed: options.Seed = 0
    device: options.Device = "cpu"


PRESETS = {
    "sst-imdb": SentimentSettings(
        cell="lstm",
        hidden=320,
        dropout=0.6,
        embedding_dropout=0.4,
        recurrent_dropout=0.4,
        epochs=5,
        pretrain_epochs=8,
        pretrain_learning_rate=3e-3,
        pretrain_noise=0.5,
        precision="bfloat16",
    )
}
