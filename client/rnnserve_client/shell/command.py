"""``ask`` and ``session``, for ``rnnserve`` and for ``rnnserve-client``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rnnserve_client.problems import Problem, Unreachable
from rnnserve_client.retry import Retry
from rnnserve_client.shell.fields import Parser, UsageError
from rnnserve_client.shell.requests import STREAM, described, read_fields, tell, tell_frames
from rnnserve_client.sync import SyncClient, SyncSession

_KEY = "RNNSERVE_API_KEY"
# About a second: whoever types an address that is wrong waits for the answer.
_RETRY = Retry(attempts=5, first_s=0.1)


def main(arguments: Sequence[str] | None = None, prog: str = "rnnserve-client") -> int:
    """Run a command; returns the exit status, and says on standard error what went wrong."""
    try:
        options, words = _parser(prog).parse_known_args(arguments)
        key = options.key or os.environ.get(_KEY)
        with SyncClient(options.url, key=key, retry=_RETRY) as client:
            options.run(client, options, words, prog)
    except Problem as error:
        print(f"{prog}: {_told(error)}", file=sys.stderr)
        return 2
    except (Unreachable, UsageError, OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _told(problem: Problem) -> str:
    """The fields that are wrong, with what is allowed, or else the server's sentence."""
    wrong = [
        f"{one['field']}: {one['message']}"
        + (f" (allowed: {json.dumps(one['allowed'])})" if one.get("allowed") is not None else "")
        for one in problem.document.get("errors") or ()
    ]
    return "; ".join(wrong) or str(problem)


def _parser(prog: str) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default="http://localhost:8000", help="of the server (%(default)s)")
    common.add_argument("--key", help=f"API key, where the server asks for one; also the variable {_KEY}")
    common.add_argument("--json", action="store_true", dest="as_json", help="print JSON as it comes")
    parser = Parser(prog=prog, description="Ask a server of rnnserve.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        group: Any, name: str, run: Callable[..., None], doc: str, **more: Any
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = group.add_parser(
            name, parents=[common], help=doc, description=doc, allow_abbrev=False, **more
        )
        made.set_defaults(run=run)
        return made

    # What follows the task is read when the server has said what it takes, --help too.
    ask = add(
        commands,
        "ask",
        _ask,
        "ask a task: ask TASK WORDS --FIELD VALUE; without a task, list them",
        add_help=False,
    )
    ask.add_argument("task", nargs="?")
    session = commands.add_parser("session", help="keep a network's state on the server")
    actions = session.add_subparsers(required=True, metavar="ACTION")
    new = add(actions, "new", _new, "open a session")
    new.add_argument("--id", help="left out, one is drawn")
    new.add_argument("--task", help="its default model")
    new.add_argument("--model", help="NAME or NAME@VERSION")
    new.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the task, such as freq=h"
    )
    feed = add(
        actions, "feed", _feed, "feed it, exactly once: numbers, null, or a text; - reads lines as they come"
    )
    asked = add(
        actions, "ask", _ask_session, "ask it: session ask ID ACTION WORDS --FIELD VALUE", add_help=False
    )
    for name, run, doc in (
        ("show", lambda c, o, w, p: tell(_one(c, o, w).info(), o.as_json), "model, step and times"),
        ("fork", lambda c, o, w, p: tell({"id": _one(c, o, w).fork().id}, o.as_json), "an independent copy"),
        ("close", lambda c, o, w, p: _one(c, o, w).close(), "end it"),
    ):
        add(actions, name, run, doc).add_argument("id")
    add(actions, "list", _list, "every open session")
    for one in (feed, asked):
        one.add_argument("id")
    asked.add_argument("action")
    feed.add_argument("--text", action="store_true", help="numbers are text, too")
    return parser


def _ask(client: SyncClient, options: argparse.Namespace, words: list[str], prog: str) -> None:
    if options.task is None and {"-h", "--help"} & set(words):
        print(f"usage: {prog} ask [TASK [WORDS...]]; {prog} ask TASK --help says what the task takes")
        return
    about = None if options.task is None else described(client, f"/{options.task}")
    if about is None:
        known = sorted({str(model["task"]) for model in client.models() if model["task"]})
        if options.task is not None:
            raise UsageError(f"the server has no task {options.task!r}; it has {', '.join(known) or 'none'}")
        _refuse_more(words)
        tell({"tasks": known}, options.as_json)
        return
    fields, file = read_fields(about, f"{prog} ask {options.task}", words)
    if file is not None:
        tell(client.answer(options.task, file, **fields), options.as_json)
    elif fields.pop(STREAM, False):
        tell_frames(client.stream(options.task, **fields), options.as_json)
    else:
        tell(client.answer(options.task, **fields), options.as_json)


def _ask_session(client: SyncClient, options: argparse.Namespace, words: list[str], prog: str) -> None:
    about = described(client, f"/sessions/{{id}}/{options.action}")
    if about is None:
        raise UsageError(f"sessions of this server have no {options.action!r}")
    fields, _ = read_fields(about, f"{prog} session ask {options.id} {options.action}", words)
    session = client.session(options.id)
    if fields.get("advance"):
        fields.setdefault("seq", session.step + 1)
    if fields.pop(STREAM, False):
        tell_frames(session.frames(options.action, **fields), options.as_json)
    else:
        tell(session.answer(options.action, **fields), options.as_json)


def _new(client: SyncClient, options: argparse.Namespace, words: list[str], prog: str) -> None:
    _refuse_more(words)
    task = (
        {}
        if options.model is None and options.task is None
        else {"task": options.task, "model": options.model}
    )
    wrong = [text for text in options.option if "=" not in text]
    if wrong:
        raise UsageError(f"--option {wrong[0]!r} is not NAME=VALUE")
    pairs = (text.partition("=") for text in options.option)
    given = {name: _input(value) for name, _, value in pairs}
    session = client.create(
        id=options.id, options=given, **{name: value for name, value in task.items() if value is not None}
    )
    tell(session.info(), options.as_json)


def _feed(client: SyncClient, options: argparse.Namespace, words: list[str], prog: str) -> None:
    session = client.session(options.id)
    if words == ["-"]:
        for line in sys.stdin:
            _feed_words(session, options, [line.rstrip("\n")])
    elif words:
        _feed_words(session, options, words)
    else:
        raise UsageError("say what to feed, or - for lines of standard input")


def _feed_words(session: SyncSession, options: argparse.Namespace, words: list[str]) -> None:
    parsed = [word if options.text else _input(word) for word in words]
    inputs = " ".join(words) if any(isinstance(one, str) for one in parsed) else parsed
    result = session.feed(inputs)
    tell({"seq": result.seq, "step": result.step, "outputs": result.outputs}, options.as_json)


def _list(client: SyncClient, options: argparse.Namespace, words: list[str], prog: str) -> None:
    _refuse_more(words)
    for info in client.sessions():
        about = f"{info['id']}  {info['model']}  step {info['step']}  until {info['expires_at']}"
        print(json.dumps(info) if options.as_json else about)


def _one(client: SyncClient, options: argparse.Namespace, words: list[str]) -> SyncSession:
    _refuse_more(words)
    return client.session(options.id)


def _refuse_more(words: list[str]) -> None:
    if words:
        raise UsageError(f"{words[0]!r} is not known here; see --help")


def _input(word: str) -> Any:
    """A number, null, an object or a list; any other word is text."""
    try:
        return json.loads(word)
    except ValueError:
        return word
