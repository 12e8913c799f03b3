"""Commands of tasks: a file in, answers by models in this process or by a server, and the task's words."""

from __future__ import annotations

import asyncio
import inspect
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.core.errors import ConfigurationError, RnnserveError, ServerError
from app.edge.errors import describe
from app.main import answering
from app.settings import load_settings
from app.tasks.task import Command, Task

One = Callable[[Any], Awaitable[Any]]

_TIMEOUT_S = 600.0
_SHOWN = 500

_FILE = Annotated[Path, typer.Argument(metavar="FILE", help="a file, or - for what is piped in")]
_MODELS = Annotated[
    list[str] | None,
    typer.Option(help="places of bundles to answer with in this process; left out, those of the settings"),
]
_URL = Annotated[str | None, typer.Option(help="a running server that answers instead, http://host:port")]
_KEY = Annotated[
    str | None, typer.Option(envvar="RNNSERVE_API_KEY", help="API key, where the server asks for one")
]


def command_of(task: Task, command: Command) -> Callable[..., None]:
    """What typer makes ``rnnserve {name}`` of: a flag for each field of the command's options."""

    def run(file: Path, models: list[str] | None, url: str | None, key: str | None, **flags: Any) -> None:
        if url is not None and models:
            raise ConfigurationError("give either --url or --models, not both")
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            options = command.options.model_validate(given)
        except ValidationError as error:
            raise ConfigurationError(f"--{describe(error, '').detail}") from error
        asyncio.run(_run(command, file, options, _answers(task, models, url, key)))

    kinds: dict[str, tuple[Any, Any]] = {"file": (_FILE, inspect.Parameter.empty)}
    kinds |= {name: (_flag(field), None) for name, field in command.options.model_fields.items()}
    kinds |= {"models": (_MODELS, None), "url": (_URL, None), "key": (_KEY, None)}
    run.__name__, run.__doc__ = command.name, command.doc
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in kinds.items()
        ]
    )
    return run


def _flag(field: Any) -> Any:
    # The options parse the text, so that a flag and a query are read and refused alike.
    kind: Any = bool if field.annotation is bool else str
    # Typer takes [x] for markup.
    text = (field.description or "").replace("[", "\\[").replace("`", "")
    return Annotated[kind | None, typer.Option(help=text, show_default=False)]


async def _run(
    command: Command, file: Path, options: BaseModel, answers: AbstractAsyncContextManager[One]
) -> None:
    """Models are loaded when they are first asked, behind everything that may be wrong with the file."""
    async with AsyncExitStack() as stack:

        async def ask(requests: Sequence[Any]) -> AsyncIterator[Any]:
            one = await stack.enter_async_context(answers)
            stderr = typer.get_text_stream("stderr")
            hidden = len(requests) == 1 or not stderr.isatty()
            with typer.progressbar(requests, file=stderr, hidden=hidden) as bar:
                for request in bar:
                    yield await one(request)

        await command.run(file, options, ask)


@asynccontextmanager
async def _answers(
    task: Task, models: list[str] | None, url: str | None, key: str | None
) -> AsyncIterator[One]:
    if url is not None:
        yield _Remote(task, url, key).answer
        return
    settings = load_settings(models=models or None, request_timeout_s=_TIMEOUT_S)
    async with answering(settings) as service:

        async def answer(request: Any) -> Any:
            return (await service.answer(task, request))[0]

        yield answer


class _Remote:
    """A task of a server."""

    def __init__(self, task: Task, url: str, key: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"--url is {url!r}; it must be like http://localhost:8000")
        self._url = f"{url.rstrip('/')}/{task.name}"
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        self._answer: TypeAdapter[Any] = TypeAdapter(task.answer)

    async def answer(self, request: BaseModel) -> Any:
        """Raises ServerError: nobody answers there, or with what is none of this task's answers."""
        body = request.model_dump_json(exclude_unset=True).encode()
        said = await asyncio.to_thread(self._post, body)
        try:
            return self._answer.validate_json(said)
        except ValidationError as error:
            raise ServerError(f"{self._url} gave no answer of this version of rnnserve") from error

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(self._url, body, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                said: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise RnnserveError(f"{self._url}: {_detail(error)}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"{self._url} does not answer: {reason}") from error
        return said


def _detail(error: urllib.error.HTTPError) -> str:
    """The server's own sentence, or the status where it is no server of ours."""
    try:
        return str(json.loads(error.read())["detail"])[:_SHOWN]
    except (OSError, ValueError, KeyError, TypeError):
        return f"status {error.code}"
