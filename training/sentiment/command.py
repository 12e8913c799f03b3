"""The ``sentiment`` command of ``rnnserve-train``: options in, one run of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.run import CellName, NonlinearityName, PrecisionName, override
from training.sentiment.recipe import PRESETS, SentimentSettings, run


def sentiment(
    dataset: Annotated[str | None, typer.Option(help=f"Built-in data: {', '.join(PRESETS)}.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Your CSV with a header.")] = None,
    text: Annotated[str, typer.Option(help="Its column of texts.")] = "text",
    label: Annotated[str, typer.Option(help="Its column of labels; any two or more.")] = "label",
    vocab_size: Annotated[int | None, typer.Option(help="Words known, at most.")] = None,
    min_count: Annotated[int | None, typer.Option(help="Rarer words are unknown.")] = None,
    cell: Annotated[CellName | None, typer.Option(help="Recurrent cell.")] = None,
    nonlinearity: Annotated[NonlinearityName | None, typer.Option(help="Of the rnn cell.")] = None,
    layers: Annotated[int | None, typer.Option(help="Recurrent layers.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Units of each layer.")] = None,
    embedding: Annotated[int | None, typer.Option(help="Features of a word.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Between layers and before the head.")] = None,
    embedding_dropout: Annotated[float | None, typer.Option(help="On the features of words.")] = None,
    recurrent_dropout: Annotated[float | None, typer.Option(help="On the hidden-to-hidden weights.")] = None,
    word_dropout: Annotated[float | None, typer.Option(help="Share of words hidden.")] = None,
    vectors: Annotated[bool | None, typer.Option(help="Start from co-occurrence vectors.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain before stopping.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest text in training.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="Texts of a batch.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Steps of a batch.")] = None,
    running_weight: Annotated[float | None, typer.Option(help="Of the running score's loss.")] = None,
    running_from: Annotated[int | None, typer.Option(help="Tokens from which it counts.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of weight matrices.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Longest gradient.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps of a rising learning rate.")] = None,
    average_decay: Annotated[float | None, typer.Option(help="Of the kept moving average; 0: none.")] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help="Of the arithmetic in training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every generator.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    name: Annotated[str, typer.Option(help="Of the bundle.")] = "sentiment",
    version: Annotated[str, typer.Option(help="Of the bundle.")] = "1",
    out: Annotated[Path, typer.Option(help="The models folder.")] = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Folder with the public data sets.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Keeps the run after every epoch.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
) -> None:
    """Train a text classifier on built-in data or on your own CSV, and export it."""
    options = dict(locals())
    settings = override(PRESETS.get(dataset or "", SentimentSettings()), options)
    folder = run(
        settings,
        dataset=dataset,
        csv=csv,
        text=text,
        label=label,
        name=name,
        version=version,
        out=out,
        data=data,
        checkpoint=checkpoint,
        resume=resume,
        threads=threads,
        quiet=quiet,
    )
    typer.echo(f"wrote {folder}")
