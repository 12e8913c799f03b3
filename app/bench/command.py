"""``rnnserve bench``: options from the command line, a table or JSON to standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from app.bench.record import Record


def bench(
    url: Annotated[str, typer.Argument(help="of a running server, such as http://localhost:8000")],
    scenario: Annotated[
        Literal["forecast", "generate", "sessions"],
        typer.Option(help="POST /forecast, streamed texts, or sessions with one event in flight each"),
    ] = "forecast",
    way: Annotated[
        Literal["http", "socket", "shared"] | None,
        typer.Option(help="http, a WebSocket each, or shared WebSockets (sessions)", show_default=False),
    ] = None,
    clients: Annotated[int, typer.Option(help="connections, or sessions")] = 16,
    sockets: Annotated[int, typer.Option(help="WebSockets that sessions share, with --way shared")] = 4,
    seconds: Annotated[float, typer.Option(help="measured, after --warm-s")] = 10.0,
    warm_s: Annotated[float, typer.Option(help="seconds of load before the measured ones")] = 1.0,
    rate: Annotated[
        float | None,
        typer.Option(
            help="events a second that fall due whatever the server does; without it, a closed loop"
        ),
    ] = None,
    max_events: Annotated[int, typer.Option(help="events sent at most")] = 10_000_000,
    model: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION instead of the default one")] = None,
    task: Annotated[
        Literal["forecast", "sentiment", "generate"],
        typer.Option(help="of the sessions, or of their --model"),
    ] = "generate",
    points: Annotated[int, typer.Option(help="observations of a forecast")] = 168,
    horizon: Annotated[int, typer.Option(help="steps ahead of a forecast")] = 24,
    tokens: Annotated[int, typer.Option(help="length of a text")] = 100,
    key: Annotated[
        str | None, typer.Option(envvar="BENCH_KEY", help="API key, where the server asks for one")
    ] = None,
    seed: Annotated[int, typer.Option(help="of arrivals and inputs")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Put load on a running server of yours and print what came back.

    A closed loop sends an event when the last was answered. With --rate events fall due by a Poisson process,
    and latency counts from when an event was due, so that a server that stalls cannot hide it. Exits with 1
    when an event failed or was not answered.
    """
    from app.bench.options import BenchError, BenchOptions
    from app.bench.report import lines, report
    from app.bench.scenarios import run_scenario

    try:
        options = BenchOptions(
            url=url,
            scenario=scenario,
            way=way,
            clients=clients,
            sockets=sockets,
            seconds=seconds,
            warm_s=warm_s,
            rate=rate,
            max_events=max_events,
            model=model,
            task=task,
            points=points,
            horizon=horizon,
            tokens=tokens,
            headers={} if key is None else {"authorization": f"Bearer {key}"},
            seed=seed,
        )
        record = _run(run_scenario(options))
    except BenchError as error:
        typer.echo(f"rnnserve: {error}", err=True)
        raise typer.Exit(2) from error
    except ModuleNotFoundError as error:
        typer.echo(f"rnnserve: this load needs {error.name}: pip install 'rnnserve[bench]'", err=True)
        raise typer.Exit(2) from error
    document = report(options, record)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        for line in lines(document):
            typer.echo(line)
    if record.failures or record.unanswered or not record.answered:
        raise typer.Exit(1)


def _run(work: Coroutine[Any, Any, Record]) -> Record:
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)
