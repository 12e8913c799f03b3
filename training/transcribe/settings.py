"""The options of ``rnnserve-train transcribe``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from training import options

DIGITS, YESNO = "digits", "yesno"
BUILT_IN = (DIGITS, YESNO)


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Which sounds to train on."""

    dataset: Annotated[str | None, Option(help=f"Built-in data: {', '.join(BUILT_IN)}.")] = None
    csv: Annotated[Path | None, Option(help="Your CSV with a header, a row for each sound file.")] = None
    audio: Annotated[str, Option(help="Its column of files, relative to the CSV.")] = "path"
    text: Annotated[str, Option(help="Its column of what is said.")] = "transcript"
    group: Annotated[str | None, Option(help="Its column that tells speakers apart, to test on others.")] = (
        None
    )
    unit: Annotated[Literal["word", "character", "bpe"], Option(help="What a label stands for.")] = "word"
    vocab_size: Annotated[int, Option(min=2, help="Labels of --unit bpe.")] = 300
    rate: Annotated[int, Option(min=4000, max=48000, help="Samples a second that the network hears.")] = 8000
    hold_out: Annotated[
        str | None, Option(help="A speaker whom training does not hear, and the figures are of.")
    ] = None
    figures: Annotated[
        Path | None, Option(help="Folder with bundles of runs with --hold-out, whose figures join the card.")
    ] = None


@dataclass(frozen=True, slots=True)
class TranscribeSettings:
    """Everything that decides the result of a run, apart from the data.

    Sounds of one speaker are joined to longer ones and changed anew in each epoch.
    """

    cell: options.CellName = "gru"
    nonlinearity: options.NonlinearityName = "tanh"
    layers: options.Layers = 2
    channels: Annotated[int, Option(min=1, max=256, help="Of the convolutions over mel bands.")] = 16
    hidden: options.Hidden = 128
    dropout: options.HeadDropout = 0.2
    recurrent_dropout: options.RecurrentDropout = 0.0
    join: Annotated[int, Option(min=1, help="Sounds that are joined in training, at most.")] = 4
    sounds: Annotated[int, Option(min=1, help="Of an epoch, at least; fewer are gone over again.")] = 2000
    gap_s: Annotated[float, Option(min=0, max=10, help="Longest silence between joined sounds.")] = 0.5
    tempo: Annotated[float, Option(min=0, max=0.5, help="Faster or slower by up to this share.")] = 0.25
    warp: Annotated[float, Option(min=0, max=0.5, help="Vocal tracts longer or shorter by this share.")] = 0.2
    colour: Annotated[
        float, Option(min=0, max=3, help="Bands louder or softer, as of another microphone, in nepers.")
    ] = 1.0
    noise: Annotated[float, Option(min=0, max=1, help="Share of sounds that get noise.")] = 0.5
    mask: Annotated[int, Option(min=0, max=20, help="Mel bands hidden at once, at most.")] = 8
    flat_epochs: Annotated[
        int, Option(min=0, help="First epochs that are told where about a label stands.")
    ] = 2
    batch: Annotated[int, Option(min=1, help="Joined sounds of a batch.")] = 16
    epochs: options.Epochs = 24
    patience: options.Patience = 24
    learning_rate: options.LearningRate = 3e-3
    weight_decay: options.WeightDecay = 0.01
    clip_norm: options.ClipNorm = 5.0
    warmup_steps: options.WarmupSteps = 100
    average_decay: options.AverageDecay = 0.99
    precision: options.PrecisionName = "float32"
    seed: options.Seed = 0
    device: options.Device = "cpu"
