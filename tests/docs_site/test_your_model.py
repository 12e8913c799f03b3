"""The examples of the page on one's own model: they train, export, verify, serve and keep sessions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from app.bundle.manifest import Manifest
from app.bundle.reader import read_manifest
from app.cli import cli
from tests.docs_site.examples import PROGRAMS, own_server
from tests.docs_site.recorded import DOCS, blocks, run
from tests.docs_site.site import ROOT
from tests.e2e.server import ServerProcess

PAGE = (DOCS / "your-model.md").read_text()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs write."""
    return tmp_path_factory.mktemp("own") / "models"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    """What they wrote, served."""
    with own_server(models) as server:
        yield server


def shape(value: Any) -> Any:
    """An answer without its numbers, which differ a little where PyTorch does."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return 0.0 if isinstance(value, float) else value


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("bundle", PROGRAMS.values())
def test_the_bundle_verifies(models: Path, bundle: str) -> None:
    """By every check there is, equal bits among them; and what the program measured is in it."""
    assert f"rnnserve models verify {bundle}\n" in PAGE
    result = CliRunner().invoke(cli, ["models", "verify", str(models / bundle / "1")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    manifest: Manifest = read_manifest(models / bundle / "1")
    for figure in manifest.quality:
        assert all(figure.value < other for other in figure.baselines.values())


def test_the_answers_are_like_those_shown(server: ServerProcess) -> None:
    """The counter counts on, letter by letter; the forecast is near the one of the page."""
    counted, forecast = [one for one in run(PAGE, server.port) if one.answer]
    for one in (counted, forecast):
        shown, got = json.loads(one.answer or ""), json.loads(one.got)
        for answer in (shown, got):
            answer.pop("seed", None)
        assert shape(shown) == shape(got), one.got
    assert json.loads(counted.got)["choices"][0]["text"] == "four five six seven eigh"
    (shown,), (got,) = (json.loads(text or "")["forecasts"] for text in (forecast.answer, forecast.got))
    assert got["mean"] == pytest.approx(shown["mean"], rel=0.2)


def test_a_session_of_such_a_network_works(server: ServerProcess) -> None:
    """Value by value the forecast is, bit for bit, that of the whole series."""
    values = [112.0, 118.0, 132.0, None, 121.0]
    with server.client() as client:
        model = {"model": "own-forecaster", "id": "own"}
        assert client.post("/sessions", json=model).status_code == 201
        for value in values:
            answer = client.post("/sessions/own/steps", json={"inputs": value})
            assert answer.status_code == 200, answer.text
        kept = client.post("/sessions/own/forecast", json={"horizon": 6}).json()["forecast"]
        whole = client.post("/forecast", json={"model": "own-forecaster", "values": values, "horizon": 6})
    assert kept["quantiles"] == whole.json()["forecasts"][0]["quantiles"]


def test_every_message_of_the_page_is_one_of_the_export() -> None:
    """Word for word, apart from what is left out."""
    code = "".join(path.read_text() for path in sorted((ROOT / "training").rglob("*.py")))
    said = re.sub(r'"\s*f?"', "", code)
    rows = PAGE[PAGE.index("## When it is refused") :]
    messages = re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)
    assert len(messages) == 7
    for message in messages:
        for part in message.split("..."):
            assert part.strip() in said, part


def test_every_argument_of_the_page_is_one_of_the_export() -> None:
    """Those in the table, and those that the programs pass."""
    from training.user_module import export_module

    table = PAGE[PAGE.index("| argument |") : PAGE.index("## A network for numbers")]
    first = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    names = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert len(names) == 8
    assert names <= set(export_module.__annotations__)
    assert len([kind for kind, _ in blocks(PAGE) if kind == "python"]) == 5


class Motion(nn.Module):
    """The classifier that the page speaks of."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 32, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each step."""
        logits: Tensor = self.head(self.rnn(x)[0])
        return logits


def test_ten_lines_from_a_trained_classifier_to_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both programs as they stand; the session says what the module says."""
    export, ask = [body for kind, body in blocks(PAGE) if kind == "python" and '"""' not in body][:2]
    assert sum(bool(line.strip()) for line in f"{export}{ask}".splitlines()) <= 10
    torch.manual_seed(0)
    net, windows = Motion(), torch.randn(8, 20, 3)
    truth = windows.cumsum(1).argmax(2)  # the axis along which it has gone furthest
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(windows).flatten(0, 1), truth.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        optimizer.step()
    monkeypatch.chdir(tmp_path)
    exec(compile(export, "export", "exec"), {"net": net, "windows": windows.numpy()})
    with ServerProcess(tmp_path / "models") as server:
        exec(compile(ask.replace("localhost:8000", f"localhost:{server.port}"), "ask", "exec"), {})
    said = [json.loads(line.replace("'", '"')) for line in capsys.readouterr().out.splitlines()]
    with torch.no_grad():
        expected = net(torch.tensor([[[0.1, -0.2, 1.3], [0.0, 0.4, 0.9]]])).softmax(2)[0].tolist()
    for verdict, shares in zip(said, expected, strict=True):
        assert list(verdict["scores"].values()) == pytest.approx(shares, abs=2e-6)
        assert verdict["label"] == ("still", "walking", "running")[shares.index(max(shares))]
