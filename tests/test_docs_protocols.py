"""The page on other protocols: its examples run, and its tables are the code's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.problem import ProblemDetail
from app.edge import errors
from app.protocols.openai.errors import as_openai_error
from app.protocols.openai.router import EXAMPLES
from app.protocols.openai.schema import CompletionRequest
from app.tasks.sentiment.text_classification import ClassificationParameters, TextClassificationRequest
from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask

PAGE = (Path(__file__).parent.parent / "docs/protocols.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """The shipped bundles."""
    with ServerProcess(SHIPPED, load="on-demand") as server:
        yield server


@pytest.mark.parametrize(
    ("command", "member"), list(zip(COMMANDS, ["data", "choices", "choices", None, None], strict=True))
)
def test_a_command_gives_what_the_page_says(server: ServerProcess, command: str, member: str | None) -> None:
    """An object of that API, or a list for each text."""
    answer = json.loads(ask(command, server.port))
    if member is not None:
        assert member in answer
    else:
        assert all(set(label) == {"label", "score"} for labels in answer for label in labels)


@pytest.mark.parametrize(
    ("code", "printed"), list(zip(SCRIPTS, [r".{80}\n[a-z]*", r"positive\n"], strict=True))
)
def test_a_python_example_runs(
    server: ServerProcess, capsys: pytest.CaptureFixture[str], code: str, printed: str
) -> None:
    """Word for word."""
    exec(compile(code.replace("localhost:8000", f"localhost:{server.port}"), "protocols.md", "exec"), {})
    assert re.fullmatch(printed, capsys.readouterr().out, re.DOTALL)


def table(heading: str) -> str:
    """The section under a heading."""
    (section,) = [one for one in re.split(r"^## ", PAGE, flags=re.MULTILINE) if one.startswith(heading)]
    return section


def test_every_parameter_of_a_completion_is_documented() -> None:
    """With its default, where that is a number."""
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (.*?) \|", table("OpenAI"), re.MULTILINE)
    named = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(named) == set(CompletionRequest.model_fields)
    for name in ("max_tokens", "temperature", "top_p", "n", "top_k"):
        assert named[name] == f"{CompletionRequest.model_fields[name].default:g}"


def test_every_field_of_a_text_classification_is_documented() -> None:
    """Each is named in the section."""
    section = table("Hugging Face")
    for name in [*TextClassificationRequest.model_fields, *ClassificationParameters.model_fields]:
        assert f"`{name}`" in section


def test_the_codes_are_those_of_the_code() -> None:
    """Each code that the page names is what a failure of that status is called."""
    rows = re.findall(r"^\| ([\d, ]+) \| (`.*?) \| `\w+` \|$", table("OpenAI"), re.MULTILINE)
    listed = {
        (status, code)
        for statuses, codes in rows
        for status in map(int, statuses.split(", "))
        for code in re.findall(r"`([a-z_]+)`", codes)
    }
    kinds = [*errors.KINDS.values(), errors.NOT_FOUND]
    known = set()
    for kind in kinds:
        problem = ProblemDetail(
            type=errors.TYPE_PREFIX + kind.slug, title="", status=kind.status, detail="", request_id=""
        )
        answer = as_openai_error(problem)
        known.add((answer.status, json.loads(answer.body)["error"]["code"]))
    assert {status for status, _ in listed} == {status for status, _ in known} - {409, 410, 412, 500}
    assert {code for _, code in listed} <= {code for _, code in known}
    assert all(code in {code for status, code in known if status == one} for one, code in listed if one < 410)


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_examples_of_the_documentation_work_when_pressed(server: ServerProcess, name: str) -> None:
    """Each is answered with 200 by the shipped bundles."""
    with server.client() as client:
        answer = client.post("/v1/completions", json=EXAMPLES[name]["value"])
    assert answer.status_code == 200, answer.text
