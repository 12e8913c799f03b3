"""The ``forecast`` command of ``rnnserve-train``: options in, one run of the recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from app.bundle.reader import read_manifest
from training.forecast.data import load_built_in, load_csv
from training.forecast.recipe import ForecastSettings, run, settings_for
from training.forecast.series_csv import CsvLayout
from training.run import CellName, NonlinearityName, override

_DEFAULT_HORIZON = 24


def forecast(
    csv: Annotated[
        Path | None, typer.Option(help="Your CSV with a header. Left out: the built-in data sets.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="Column of dates or times.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Column to forecast; repeatable. All other columns if left out.")
    ] = None,
    id: Annotated[str | None, typer.Option(help="Column that tells series apart (long format).")] = None,
    freq: Annotated[
        str | None, typer.Option(help="h, D, W, MS, 15min, ...; told from the times if left out.")
    ] = None,
    season: Annotated[int | None, typer.Option(help="Season in steps instead of the usual one.")] = None,
    horizon: Annotated[
        int | None, typer.Option(help="Steps ahead; 24 for a CSV, 48 for the built-in data.")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option("--levels", "--quantiles", help="Quantile levels, comma-separated, with 0.5."),
    ] = None,
    cell: Annotated[CellName | None, typer.Option(help="Recurrent cell.")] = None,
    nonlinearity: Annotated[NonlinearityName | None, typer.Option(help="Of the rnn cell.")] = None,
    layers: Annotated[int | None, typer.Option(help="Recurrent layers.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Units of each layer.")] = None,
    local: Annotated[int | None, typer.Option(help="Units of the network of one horizon.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Between recurrent layers.")] = None,
    relative_weight: Annotated[
        float | None, typer.Option(help="Weight of the median's relative error in the loss.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    batches: Annotated[int | None, typer.Option(help="Batches of an epoch.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows of a batch.")] = None,
    length: Annotated[int | None, typer.Option(help="Steps of a window.")] = None,
    origins: Annotated[int | None, typer.Option(help="Scored forecasts of a window.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without gain before stopping.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of weight matrices.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Longest gradient.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps of a rising learning rate.")] = None,
    average_decay: Annotated[float | None, typer.Option(help="Of the kept moving average; 0: none.")] = None,
    refit: Annotated[bool, typer.Option(help="Train on the validation parts too.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of every generator.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the bundle; that of the CSV, or forecaster, if left out.")
    ] = None,
    version: Annotated[str, typer.Option(help="Of the bundle.")] = "1",
    out: Annotated[Path, typer.Option(help="Models folder.")] = Path("models"),
    data: Annotated[Path | None, typer.Option(help="Folder with the built-in data sets.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where to keep the run.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all if left out.")] = None,
    quiet: Annotated[bool, typer.Option(help="Show no progress.")] = False,
) -> Path:
    """Train a probabilistic forecaster on your CSV or on the built-in series, and export it."""
    options: dict[str, Any] = {**locals(), "quantiles": levels}
    if csv is None:
        loaded = load_built_in(data)
        settings = override(ForecastSettings(), options)
        source: dict[str, object] = {}
    else:
        layout = CsvLayout(time, tuple(target or ()), id, freq, season)
        chosen = horizon if horizon is not None else _DEFAULT_HORIZON
        loaded = load_csv(csv, layout, chosen)
        settings = override(settings_for(loaded, chosen), options)
        source = {"csv": csv.name, "time": time, "id": id, "freq": freq, "season": season}
    folder = run(
        settings,
        loaded,
        source=source,
        targets=target or (),
        name=name or (bundle_name(csv) if csv is not None else "forecaster"),
        version=version,
        out=out,
        checkpoint=checkpoint,
        resume=resume,
        threads=threads,
        quiet=quiet,
    )
    typer.echo(f"wrote {folder}")
    for figure in read_manifest(folder).quality:
        beside = ", ".join(f"{name} {value:.4g}" for name, value in figure.baselines.items())
        typer.echo(
            f"{figure.dataset}: {figure.metric} {figure.value:.4g}" + (f" ({beside})" if beside else "")
        )
    return folder


def bundle_name(csv: Path) -> str:
    """A name for the bundle of a file: its stem in the letters that bundle names may have."""
    return re.sub(r"[^a-z0-9]+", "-", csv.stem.lower()).strip("-")[:64].strip("-") or "forecaster"
