"""The page on the Open Inference Protocol: its examples run, and its tables are the code's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.protocols.oip.schema import InferAnswer, ModelMetadata, SequenceParameters
from app.registered import TASKS
from app.tasks.forecast.tensors import ForecastParameters
from app.tasks.generate.tensors import GenerateParameters
from tests.e2e.server import ServerProcess
from tests.readme import SHIPPED, ask

INFER: dict[str, Any] = {key: example for task in TASKS for key, example in task.tensor_examples.items()}
PAGE = (Path(__file__).parents[3] / "docs/protocols-oip.md").read_text()
SECTIONS = {section.partition("\n")[0]: section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)}


@pytest.fixture(scope="module")
def shipped() -> Iterator[ServerProcess]:
    """The shipped bundles."""
    with ServerProcess(SHIPPED, load="on-demand") as server:
        yield server


def test_the_python_example_runs(shipped: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code.replace("localhost:8000", f"localhost:{shipped.port}"), "protocols-oip.md", "exec"), {})
    assert capsys.readouterr().out == "(1, 3) (1, 3, 2)\n(1, 1)\n"


def test_the_commands_run(shipped: ServerProcess) -> None:
    """Each is answered with tensors."""
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    names = []
    for command in block.splitlines():
        answer = InferAnswer.model_validate(json.loads(ask(command, shipped.port)))
        names.append((answer.model_name, answer.id, answer.outputs[0].name))
    assert names == [("sentiment", "1", "label"), ("shakespeare", None, "text"), ("sentiment", None, "label")]


def test_every_tensor_is_documented(shipped: ServerProcess) -> None:
    """With its type, and its shape where the page gives one."""
    with shipped.client() as client:
        for model in ("forecaster", "sentiment", "shakespeare"):
            told = ModelMetadata.model_validate(client.get(f"/v2/models/{model}").json())
            for tensor in (*told.inputs, *told.outputs):
                assert f"`{tensor.name}` {tensor.datatype}" in SECTIONS["Tensors"], (model, tensor.name)


def test_every_parameter_is_documented() -> None:
    """Those of the tasks, and those that are reserved."""
    named = set(
        re.findall(r"`(\w+)`", re.sub(r"\| [^|]* \|$", "|", SECTIONS["Parameters"], flags=re.MULTILINE))
    )
    for model in (ForecastParameters, GenerateParameters, SequenceParameters):
        assert set(model.model_fields) <= named, model


def test_every_address_is_documented(shipped: ServerProcess) -> None:
    """Each path of the OpenAPI document under ``/v2``."""
    with shipped.client() as client:
        paths = {path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/v2")}
    named = set(re.findall(r"`(?:GET|POST) (/v2\S*)`", SECTIONS["Addresses"]))
    assert {path.replace("/versions/{version}", "") for path in paths} == named


@pytest.mark.parametrize("name", list(INFER))
def test_the_examples_of_the_documentation_work_when_pressed(shipped: ServerProcess, name: str) -> None:
    """Each is answered by the model that its summary names."""
    model = re.search(r"\((\w+)\)$", INFER[name]["summary"])
    assert model is not None
    with shipped.client() as client:
        answer = client.post(f"/v2/models/{model[1]}/infer", json=INFER[name]["value"])
    assert answer.status_code == 200, answer.text
