"""``rnnserve-train``: train and export networks, fetch data, print measured quality.

What needs PyTorch is imported inside the functions, so that its absence can be told in one line.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.bundle.reader import read_manifest
from app.core.errors import RnnserveError
from training.card import named
from training.data.catalogue import CATALOGUE
from training.data.download import DataStore
from training.options import RunOptions, flags_of

if TYPE_CHECKING:
    from training.recipe import Recipe


def main() -> None:
    """Run the command line; a mistake of the user's ends it with one line and status 1."""
    try:
        command_line()()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("app", "training"):
            raise
        _fail(f"the package {package!r} is missing; in a checkout, run: pip install '.[training]'")
    except RnnserveError as error:
        _fail(error.message)


def command_line() -> typer.Typer:
    """The program: a command for each recipe, and those about data and quality.

    Raises:
        ModuleNotFoundError: a package that training needs is not installed.
    """
    from training.recipes import RECIPES

    app = typer.Typer(
        help="Train recurrent networks and export them to bundles that rnnserve serves.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for recipe in RECIPES.values():
        app.command(recipe.task)(training_command(recipe))
    app.command()(download)
    app.command()(quality)
    return app


def training_command(recipe: type[Recipe[Any, Any]]) -> Callable[..., None]:
    """The command of a recipe; its flags are the fields of the recipe's dataclasses."""
    from training.run import run

    def command(**given: Any) -> None:
        folder = run(recipe, given)
        typer.echo(f"wrote {folder}")
        for figure in read_manifest(folder).quality:
            beside = f" ({named(figure.baselines)})" if figure.baselines else ""
            typer.echo(f"{figure.dataset}: {figure.metric} {figure.value:.4g}{beside}")

    command.__doc__ = recipe.about
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [*flags_of(recipe.DataOptions), *flags_of(recipe.Settings, optional=True), *flags_of(RunOptions)]
    )
    return command


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


def quality(
    bundles: Annotated[list[str] | None, typer.Argument(help="Names of bundles; all if left out.")] = None,
    models: Annotated[Path, typer.Option(help="The models folder.")] = Path("models"),
    measure: Annotated[
        bool, typer.Option(help="Measure again, with the bundles' graphs on the data.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Folder with the public data sets.")] = None,
) -> None:
    """Print the quality of bundles beside its baselines."""
    from training.quality import quality_table

    typer.echo(quality_table(models, bundles or [], DataStore.open(data) if measure else None))


def _fail(message: str) -> None:
    typer.echo(f"rnnserve-train: {message}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
