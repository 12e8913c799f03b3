"""The ``generate`` command of ``rnnserve-train``: options in, one run of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.generate.recipe import PRESETS, GenerateSettings, run
from training.run import CellName, NonlinearityName, PrecisionName, override


def generate(
    dataset: Annotated[str | None, typer.Option(help=f"A built-in data set: {', '.join(PRESETS)}.")] = None,
    text: Annotated[Path | None, typer.Option(help="Your UTF-8 text file.")] = None,
    lines: Annotated[bool | None, typer.Option(help="Each line is a text of its own.")] = None,
    tokenizer: Annotated[Literal["char", "bpe"] | None, typer.Option(help="Unit of text.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Tokens of the bpe tokenizer.")] = None,
    cell: Annotated[CellName | None, typer.Option(help="Recurrent cell.")] = None,
    nonlinearity: Annotated[NonlinearityName | None, typer.Option(help="Of the rnn cell.")] = None,
    layers: Annotated[int | None, typer.Option(help="Recurrent layers.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Units of each layer.")] = None,
    embedding: Annotated[int | None, typer.Option(help="Features of a token.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Between layers and before the head.")] = None,
    embedding_dropout: Annotated[float | None, typer.Option(help="On the features of tokens.")] = None,
    recurrent_dropout: Annotated[float | None, typer.Option(help="On the hidden-to-hidden weights.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain before stopping.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Parallel sequences.")] = None,
    length: Annotated[int | None, typer.Option(help="Steps of a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of weight matrices.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Longest gradient.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps of a rising learning rate.")] = None,
    average_decay: Annotated[float | None, typer.Option(help="Of the kept moving average; 0: none.")] = None,
    rename_speakers: Annotated[
        float | None, typer.Option(help="Share of a play's speakers renamed in every epoch.")
    ] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help="Of the arithmetic in training.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every generator.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the bundle; the data's name if left out.")] = None,
    version: Annotated[str, typer.Option(help="Of the bundle.")] = "1",
    out: Annotated[Path, typer.Option(help="The models folder.")] = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Folder with the public data sets.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Keeps the run after every epoch.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
) -> None:
    """Train a language model on a built-in text or on your own, and export it.

    Options that are left out take the tuned values of the built-in data set, or values that suit
    a megabyte of text.
    """
    options = dict(locals())
    settings = override(PRESETS.get(dataset or "", GenerateSettings()), options)
    folder = run(
        settings,
        dataset=dataset,
        text=text,
        name=name or dataset or "generate",
        version=version,
        out=out,
        data=data,
        checkpoint=checkpoint,
        resume=resume,
        threads=threads,
        quiet=quiet,
    )
    typer.echo(f"wrote {folder}")
