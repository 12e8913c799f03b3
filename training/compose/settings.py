"""The options of ``rnnserve-train compose``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from training import options

CHORALES, QUARTERS, NOTTINGHAM = "chorales", "chorales-quarter", "nottingham"
BUILT_IN = (CHORALES, QUARTERS, NOTTINGHAM)


@dataclass(frozen=True, slots=True)
class ComposeOptions:
    """Which music to train on."""

    dataset: Annotated[str | None, Option(help=f"Built-in data: {', '.join(BUILT_IN)}.")] = None
    midi: Annotated[Path | None, Option(help="Your folder of MIDI files; its folders are read too.")] = None
    grid: Annotated[int, Option(min=4, max=96, help="Steps of a whole note: 16 for sixteenths.")] = 16
    voices: Annotated[int, Option(min=1, max=16, help="Notes of a step, from the top; 1 for melodies.")] = 4


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """Everything that decides the result of a run, apart from the data."""

    cell: options.CellName = "lstm"
    nonlinearity: options.NonlinearityName = "tanh"
    layers: options.Layers = 1
    hidden: options.Hidden = 208
    embedding: options.Embedding = 16
    interval: Annotated[int, Option(min=1, help="Features of an interval between two tokens.")] = 8
    features: Annotated[int, Option(min=1, help="That the recurrent layers read of a token.")] = 160
    head: Annotated[int, Option(min=1, help="Units between the recurrent layers and the tokens.")] = 224
    window: Annotated[int, Option(min=1, help="Tokens that are seen as they are, beside the state.")] = 24
    lead: Annotated[int, Option(min=0, max=64, help="Steps that the first voice is written ahead.")] = 4
    transpose: Annotated[int, Option(min=0, max=12, help="Semitones up or down, within ranges.")] = 6
    dropout: options.HeadDropout = 0.2
    embedding_dropout: options.EmbeddingDropout = 0.1
    recurrent_dropout: options.RecurrentDropout = 0.1
    batch: Annotated[int, Option(min=1, help="Pieces of a batch.")] = 24
    piece: Annotated[int, Option(min=1, help="Steps that are learned at once.")] = 64
    epochs: options.Epochs = 90
    patience: options.Patience = 20
    learning_rate: options.LearningRate = 3e-3
    weight_decay: options.WeightDecay = 0.01
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 100
    average_decay: options.AverageDecay = 0.99
    precision: options.PrecisionName = "float32"
    seed: options.Seed = 0
    device: options.Device = "cpu"


PRESETS = {
    QUARTERS: ComposeSettings(lead=0, batch=12, epochs=100, dropout=0.3, recurrent_dropout=0.2),
    NOTTINGHAM: ComposeSettings(lead=0, transpose=0, window=27, batch=12, piece=32, epochs=4),
}
