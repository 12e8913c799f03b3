"""``rnnserve serve`` and ``rnnserve models``.

Every setting is a flag: the flags are made from ``app.settings``, so there is no second list.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import SecretStr

from app.api.server import bind
from app.core.errors import RnnserveError
from app.main import version
from app.registry import Inspection, inspect_models
from app.sessions.keys import state_secret
from app.settings import ENV_PREFIX, Settings, load_settings
from app.telemetry.logging import configure_logging
from app.workers import Supervisor, serve_here

cli = typer.Typer(
    name="rnnserve",
    help="Serve recurrent networks over HTTP and WebSocket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

EXIT_WRONG = 2
"""Exit status when a setting, a port or a bundle is wrong."""


def main() -> None:
    """Entry point of the ``rnnserve`` command."""
    try:
        cli()
    except RnnserveError as error:
        typer.echo(f"rnnserve: {error.message}", err=True)
        sys.exit(EXIT_WRONG)


def serve(**flags: Any) -> None:
    """Serve every bundle of the models folder.

    Each flag is also an environment variable: --max-batch is RNNSERVE_MAX_BATCH. Flags win.
    """
    settings = load_settings(**flags)
    configure_logging(settings.log_level, settings.log_format)
    listener = bind(settings.host, settings.port)
    with listener:
        if settings.workers == 1:
            serve_here(settings, listener, _announce)
        else:
            Supervisor(_with_state_key(settings), listener, _announce).run()


@cli.command()
def models(
    folder: Annotated[
        Path | None, typer.Option("--models", help="folder of bundles, models/NAME/VERSION/")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="where the graphs are replayed")
    ] = None,
) -> None:
    """List the bundles and verify each: sums, graph and golden vectors."""
    settings = load_settings(models=folder, device=device)
    inspections = inspect_models(settings.models, settings.device)
    for inspection in inspections:
        typer.echo(_line(inspection))
    bad = sum(inspection.error is not None for inspection in inspections)
    typer.echo(f"{len(inspections)} bundles in {settings.models}, {len(inspections) - bad} good, {bad} bad")
    if bad:
        raise typer.Exit(1)


@cli.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(version())


def _serve_signature() -> inspect.Signature:
    parameters = []
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        text = f"{field.description} ({ENV_PREFIX}{name.upper()}, default {field.default})"
        kind: Any = bool if field.annotation is bool else str
        # The settings parse the text, so that a flag and a variable are read and refused alike.
        option = typer.Option(flag, help=text, show_default=False, metavar=_metavar(field.annotation))
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
            )
        )
    return inspect.Signature(parameters)


def _announce(text: str) -> None:
    typer.echo(text, err=True)


def _with_state_key(settings: Settings) -> Settings:
    """Settings whose state key all workers share."""
    store, key = settings.session_store, settings.state_key
    if store is None or key is not None:
        return settings
    return settings.model_copy(update={"state_key": SecretStr(state_secret(None, store))})


def _metavar(annotation: Any) -> str | None:
    if annotation is bool:
        return None
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and all(isinstance(part, str) for part in parts):
        return "|".join(parts)
    return getattr(parts[0] if parts else annotation, "__name__", "text").upper()


def _line(inspection: Inspection) -> str:
    manifest = inspection.manifest
    if manifest is None or inspection.error is not None:
        name = f"{inspection.folder.parent.name}@{inspection.folder.name}"
        message = inspection.error.message if inspection.error is not None else "unknown"
        return f"BAD  {name:<28} {message}"
    return (
        f"ok   {manifest.reference:<28} {manifest.task:<10} {manifest.network.cell:<5} "
        f"{manifest.network.parameters:>10,} parameters  parity {inspection.difference:.1e}"
    )


serve.__signature__ = _serve_signature()  # type: ignore[attr-defined]
cli.command()(serve)
