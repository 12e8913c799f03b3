"""The options of ``rnnserve-train caption``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from training import options

FLICKR8K = "flickr8k"
BUILT_IN = (FLICKR8K,)
CACHE = Path("~/.cache/rnnserve/features")


@dataclass(frozen=True, slots=True)
class CaptionOptions:
    """Which pictures to train on."""

    dataset: Annotated[str | None, Option(help=f"Built-in data: {', '.join(BUILT_IN)}.")] = None
    csv: Annotated[Path | None, Option(help="Your CSV with a header, a row for each caption.")] = None
    image: Annotated[str, Option(help="Its column of picture files, relative to the CSV.")] = "image"
    caption: Annotated[str, Option(help="Its column of captions.")] = "caption"
    weights: Annotated[
        Path | None, Option(help="Weights of --encoder lite0, where their package is not installed.")
    ] = None
    cache: Annotated[Path, Option(help="Folder where features of pictures are kept for other runs.")] = CACHE


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """Everything that decides the result of a run, apart from the data."""

    encoder: Annotated[
        Literal["lite0", "scratch"],
        Option(help="EfficientNet-Lite0 as trained on ImageNet, or a small network trained with the rest."),
    ] = "lite0"
    size: Annotated[
        int,
        Option(
            min=0, max=512, help="Pixels of a side that the encoder sees; 0: 224 of lite0, 112 of scratch."
        ),
    ] = 0
    mirror: Annotated[bool, Option(help="Show pictures mirrored as well.")] = True
    vocab_size: Annotated[int, Option(min=3, help="Words, at most.")] = 8000
    min_count: Annotated[int, Option(min=1, help="Words seen less often are unknown.")] = 5
    embedding: options.Embedding = 256
    hidden: options.Hidden = 256
    attention: Annotated[
        int, Option(min=1, max=128, help="Features that words and places of a picture are compared by.")
    ] = 128
    values: Annotated[int, Option(min=1, help="Features of a place that the decoder is given.")] = 256
    dropout: options.HeadDropout = 0.5
    embedding_dropout: options.EmbeddingDropout = 0.3
    recurrent_dropout: options.RecurrentDropout = 0.0
    token_dropout: Annotated[float, Option(min=0, max=1, help="Words hidden while training.")] = 0.05
    smoothing: Annotated[float, Option(min=0, max=0.5, help="Of the labels.")] = 0.1
    max_tokens: Annotated[int, Option(min=2, max=256, help="Words of a caption, at most.")] = 40
    batch: Annotated[int, Option(min=1, help="Pictures of a batch, each with all its captions.")] = 48
    epochs: options.Epochs = 15
    patience: options.Patience = 6
    learning_rate: options.LearningRate = 2e-3
    weight_decay: options.WeightDecay = 0.01
    clip_norm: options.ClipNorm = 1.0
    warmup_steps: options.WarmupSteps = 200
    average_decay: options.AverageDecay = 0.998
    precision: options.PrecisionName = "bfloat16"
    seed: options.Seed = 0
    device: options.Device = "cpu"


SIZES = {"lite0": (224, 32), "scratch": (112, 16)}
"""Of each encoder the usual pixels of a side, and what they must be a multiple of."""
PRESETS = {FLICKR8K: CaptionSettings()}
