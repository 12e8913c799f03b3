"""The ``rnnserve`` command. The flags are made from ``app.settings``, so there is no second list."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import SecretStr

from app.access.api_key import issue_key
from app.access.key_file import append_entry, read_keys, revoke_entry
from app.cli_batch import batch_cli
from app.cli_models import models_cli
from app.cli_tasks import command_of
from app.core.errors import ConfigurationError, RnnserveError
from app.main import version
from app.registered import TASKS
from app.registry.background import leave
from app.sessions.keys import state_secret
from app.settings import ENV_PREFIX, Settings, effective_lines, load_settings, load_sourced
from app.startup import open_listeners, serve_here
from app.telemetry.logging import configure_logging
from app.workers import Supervisor

cli = typer.Typer(
    name="rnnserve",
    help="Serve recurrent networks over HTTP and WebSocket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

keys_cli = typer.Typer(help="API keys; see docs/security.md.", no_args_is_help=True)
cli.add_typer(keys_cli, name="keys")
cli.add_typer(models_cli, name="models")


def main() -> None:
    try:
        cli()
    except RnnserveError as error:
        typer.echo(f"rnnserve: {error.message}", err=True)
        leave(2)
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else bool(end.code))


def serve(**flags: Any) -> None:
    """Serve every bundle of the models folder.

    Each flag is also an environment variable: --max-batch is RNNSERVE_MAX_BATCH. Flags win.
    """
    # Until the server listens to signals itself. As process 1 of a container there is no default to rely on.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    settings = load_settings(**flags)
    configure_logging(settings.log_level, settings.log_format)
    settings, listeners = open_listeners(settings)
    announce = partial(typer.echo, err=True)
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        if settings.workers == 1:
            serve_here(settings, listeners, announce)
        else:
            Supervisor(_with_state_key(settings), listeners, announce).run()


def config(**flags: Any) -> None:
    """Print the settings in force, each with where it comes from; secrets are masked.

    Takes the flags of serve. The output is a settings file for --config.
    """
    typer.echo("\n".join(effective_lines(load_sourced(**flags))))


@keys_cli.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="who gets the key: letters, digits, '.', '_', '-'")],
    role: Annotated[Literal["user", "admin"], typer.Option(help="admin may also load models")] = "user",
    append: Annotated[
        Path | None, typer.Option(help="keys file to put the entry into; made when it is missing")
    ] = None,
) -> None:
    """Make an API key. It is printed this once; its entry for the keys file holds a hash alone."""
    key, entry = issue_key(name, role)
    if append is not None:
        append_entry(append, name, entry)
    typer.echo(key)
    if append is None:
        typer.echo(f"\n{entry}", nl=False)


KeysFile = Annotated[
    Path | None, typer.Option("--keys", help="keys file; left out, that of the settings", show_default=False)
]


@keys_cli.command("list")
def list_keys(keys: KeysFile = None) -> None:
    """List the names of a keys file, with role, number of keys and expiry."""
    for name, entry in read_keys(_keys_file(keys)).items():
        expires = "never" if entry.expires is None else _day(entry.expires.timestamp())
        number = f"{len(entry.digests)} key{'s' * (len(entry.digests) > 1)}"
        typer.echo(f"{name:<24} {entry.role:<6} {number:<8} expires {expires}")


@keys_cli.command("revoke")
def revoke_key(
    name: Annotated[str, typer.Argument(help="whose keys are refused from then on")], keys: KeysFile = None
) -> None:
    """Take a name out of a keys file. A running server notices within a second; the sessions stay."""
    path = _keys_file(keys)
    revoke_entry(path, name)
    typer.echo(f"{name} is no longer in {path}")


def _keys_file(given: Path | None) -> Path:
    if path := given or load_settings().keys:
        return path
    raise ConfigurationError("name the keys file with --keys; the settings name none")


def _day(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
    return f"{text} (expired)" if seconds <= time.time() else text


@cli.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(version())


def _add_bench() -> None:
    try:
        from rnnserve_bench.command import bench_command
    except ImportError:
        cli.command("bench", context_settings={"ignore_unknown_options": True})(_bench_is_missing)
    else:
        cli.command()(bench_command({task.name: task.load for task in TASKS}))


def _bench_is_missing(arguments: list[str]) -> None:
    """Measure a running server; needs the client: pip install './client[bench]'."""
    raise ConfigurationError("bench comes with the client; in a checkout: pip install './client[bench]'")


def _add_client() -> None:
    """``ask`` and ``session`` of the client, which reads its own flags."""
    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    for name, doc in (
        ("ask", "Ask a task of a running server; what it takes, the server says."),
        ("session", "Open, feed and ask sessions of a running server."),
    ):
        cli.command(name, help=doc, context_settings=anything)(_run_client)


def _run_client(context: typer.Context) -> None:
    try:
        from rnnserve_client.shell.command import main as run
    except ImportError as error:
        text = f"{context.info_name} comes with the client; in a checkout: pip install ./client"
        raise ConfigurationError(text) from error
    raise typer.Exit(run([str(context.info_name), *context.args], prog="rnnserve"))


def _serve_signature() -> inspect.Signature:
    parameters = []
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        text = f"{field.description} ({ENV_PREFIX}{name.upper()}, default {field.default})"
        kind: Any = bool if field.annotation is bool else list[str] if name == "models" else str
        # The settings parse the text, so that a flag and a variable are read and refused alike.
        # Typer takes [x] for markup.
        option = typer.Option(
            flag, help=text.replace("[", "\\["), show_default=False, metavar=_metavar(field.annotation)
        )
        annotation = Annotated[kind | None, option]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return inspect.Signature(parameters)


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


_add_bench()
cli.add_typer(batch_cli(TASKS), name="batch")
for task in TASKS:
    for own in task.commands:
        cli.command(own.name)(command_of(task, own))
_add_client()
for command in (serve, config):
    command.__signature__ = _serve_signature()  # type: ignore[attr-defined]  # what typer reads
    cli.command()(command)
