"""``rnnserve-train``: train and export networks, fetch data, print measured quality."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.core.errors import RnnserveError
from training.data.catalogue import CATALOGUE
from training.data.download import DataStore
from training.forecast.command import forecast
from training.generate.command import generate
from training.quality import quality_table
from training.sentiment.command import sentiment

app = typer.Typer(
    help="Train recurrent networks and export them to bundles that rnnserve serves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(forecast)
app.command()(sentiment)
app.command()(generate)


@app.command()
def download(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Data sets; all if left out: {', '.join(CATALOGUE)}.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder; the cache if left out.")] = None,
) -> None:
    """Fetch the public data sets of the built-in recipes and verify them."""
    store = DataStore.cache() if to is None else DataStore(to, may_download=True)
    for path in store.download(names or []):
        typer.echo(path)


@app.command()
def quality(
    bundles: Annotated[list[str] | None, typer.Argument(help="Names of bundles; all if left out.")] = None,
    models: Annotated[Path, typer.Option(help="The models folder.")] = Path("models"),
    measure: Annotated[
        bool, typer.Option(help="Measure again, with the bundles' graphs on the data.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Folder with the public data sets.")] = None,
) -> None:
    """Print the quality of bundles beside its baselines."""
    typer.echo(quality_table(models, bundles or [], DataStore.open(data) if measure else None))


def main() -> None:
    """Run the command line; a mistake of the user's ends it with one line and status 1."""
    try:
        app()
    except RnnserveError as error:
        typer.echo(f"rnnserve-train: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
