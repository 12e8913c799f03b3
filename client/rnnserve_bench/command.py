"""``rnnserve bench``: options from the command line, a table or JSON to standard output."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rnnserve_bench.options import BenchError, BenchOptions, Load

if TYPE_CHECKING:
    from rnnserve_bench.record import Record

SESSIONS = "sessions"


def bench_command(loads: Mapping[str, Load]) -> Callable[..., None]:
    """The command for the tasks of these names; each option of a load becomes a flag.

    The first task is asked by default; the first that streams is the default of sessions.
    """

    def bench(
        url: Annotated[str, typer.Argument(help="of a running server, such as http://localhost:8000")],
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
        model: Annotated[
            str | None, typer.Option(help="NAME or NAME@VERSION instead of the default one")
        ] = None,
        key: Annotated[
            str | None, typer.Option(envvar="BENCH_KEY", help="API key, where the server asks for one")
        ] = None,
        seed: Annotated[int, typer.Option(help="of arrivals and inputs")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
        **flags: Any,
    ) -> None:
        """Put load on a running server of yours and print what came back.

        A closed loop sends an event when the last was answered. With --rate events fall due by a Poisson
        process, and latency counts from when an event was due, so that a server that stalls cannot hide it.
        Exits with 1 when an event failed or was not answered.
        """
        scenario, task = flags.pop("scenario"), flags.pop("task")
        asked = task if scenario == SESSIONS else scenario
        try:
            options = BenchOptions(
                url=url,
                task=asked,
                load=loads[asked],
                sessions=scenario == SESSIONS,
                way=way,
                clients=clients,
                sockets=sockets,
                seconds=seconds,
                warm_s=warm_s,
                rate=rate,
                max_events=max_events,
                model=model,
                fields=flags,
                headers={} if key is None else {"authorization": f"Bearer {key}"},
                seed=seed,
            )
            record = _run(options)
        except BenchError as error:
            typer.echo(f"rnnserve: {error}", err=True)
            raise typer.Exit(2) from error
        except ModuleNotFoundError as error:
            typer.echo(
                f"rnnserve: this load needs {error.name}; in a checkout: pip install './client[bench]'",
                err=True,
            )
            raise typer.Exit(2) from error
        _print(options, record, as_json=as_json)
        if record.failures or record.unanswered or not record.answered:
            raise typer.Exit(1)

    signature = inspect.signature(bench, eval_str=True)
    named = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    bench.__signature__ = signature.replace(parameters=[*named, *_flags(loads)])  # type: ignore[attr-defined]  # what typer reads
    return bench


def _flags(loads: Mapping[str, Load]) -> Iterator[inspect.Parameter]:
    """What depends on the tasks."""

    def flag(name: str, help: str, kind: Any, default: object) -> inspect.Parameter:
        annotation = Annotated[kind, typer.Option(help=help)]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    names = tuple(loads)
    streamed = next((name for name, load in loads.items() if load.produced is not None), names[0])
    about = "requests of a task, or sessions with one event in flight each"
    yield flag("scenario", about, Literal[(*names, SESSIONS)], names[0])
    yield flag("task", "of the sessions, or of their --model", Literal[names], streamed)
    options = {option.name: option for load in loads.values() for option in load.options}
    for option in options.values():
        yield flag(option.name, option.help, int, option.default)


def _run(options: BenchOptions) -> Record:
    from rnnserve_bench.scenarios import run_scenario

    work: Coroutine[Any, Any, Record] = run_scenario(options)
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


def _print(options: BenchOptions, record: Record, *, as_json: bool) -> None:
    from rnnserve_bench.report import lines, report

    document = report(options, record)
    for line in [json.dumps(document, indent=2)] if as_json else lines(document):
        typer.echo(line)
