"""The options of ``rnnserve-train sequence``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from training import options
from training.sequence.surnames import NAME

BUILT_IN = (NAME,)


@dataclass(frozen=True, slots=True)
class SequenceOptions:
    """Which sequences to train on."""

    dataset: Annotated[str | None, Option(help=f"Built-in data: {', '.join(BUILT_IN)}.")] = None
    csv: Annotated[Path | None, Option(help="Your CSV with a header, a row for each reading.")] = None
    group: Annotated[str | None, Option(help="Its column that tells sequences apart, such as a machine.")] = (
        None
    )
    time: Annotated[str | None, Option(help="Its column of times; left out, rows are in order.")] = None
    inputs: Annotated[
        str | None, Option(help="Its columns to read, by commas; all other numbers if left out.")
    ] = None
    text: Annotated[str | None, Option(help="A column of texts to read letter by letter, instead.")] = None
    target: Annotated[str, Option(help="Its column to tell: a class, or a number.")] = "target"
    kind: Annotated[Literal["auto", "class", "number"], Option(help="Of the target; told by its cells.")] = (
        "auto"
    )
    ahead: Annotated[int, Option(min=0, max=100_000, help="Tell the target so many rows later.")] = 0
    split: Annotated[
        Literal["auto", "group", "time"], Option(help="Test on groups, or on times, never seen.")
    ] = "auto"


@dataclass(frozen=True, slots=True)
class SequenceSettings:
    """Everything that decides the result of a run, apart from the data."""

    cell: options.CellName = "gru"
    nonlinearity: options.NonlinearityName = "tanh"
    layers: options.Layers = 1
    hidden: options.Hidden = 64
    embedding: options.Embedding = 32
    dropout: options.HeadDropout = 0.2
    recurrent_dropout: options.RecurrentDropout = 0.1
    window: Annotated[int, Option(min=1, help="Rows of a piece of a longer sequence in training.")] = 96
    class_weights: Annotated[
        float, Option(min=0, max=1, help="0: classes count as often as they are; 1: all the same.")
    ] = 0.5
    batch: Annotated[int, Option(min=1, help="Pieces of a batch.")] = 64
    epochs: options.Epochs = 40
    patience: options.Patience = 8
    learning_rate: options.LearningRate = 3e-3
    weight_decay: options.WeightDecay = 0.01
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 50
    average_decay: options.AverageDecay = 0.99
    precision: options.PrecisionName = "float32"
    seed: options.Seed = 0
    device: options.Device = "cpu"


PRESETS = {
    NAME: SequenceSettings(
        hidden=192,
        embedding=64,
        dropout=0.5,
        recurrent_dropout=0.2,
        class_weights=0.2,
        epochs=35,
        patience=35,
        average_decay=0.998,
    )
}
