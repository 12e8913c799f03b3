"""The training command line around its recipes: help, errors, downloads and the quality table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.cli import command_line, main
from training.data.download import DATA_VARIABLE, DataStore
from training.quality import quality_table


def test_help_names_every_command() -> None:
    """Three tasks, the downloader and the table."""
    result = CliRunner().invoke(command_line(), ["--help"])
    assert result.exit_code == 0
    for command in ("forecast", "sentiment", "generate", "download", "quality"):
        assert command in result.output


def test_a_mistake_ends_in_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback reaches the user."""
    monkeypatch.setattr(
        sys, "argv", ["rnnserve-train", "generate", "--text", "nowhere.txt", "--threads", "1"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("rnnserve-train: cannot read 'nowhere.txt'")
    assert error.count("\n") == 1


def test_an_unknown_data_set_is_not_downloaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The known ones are listed."""
    monkeypatch.setattr(sys, "argv", ["rnnserve-train", "download", "mnist"])
    with pytest.raises(SystemExit):
        main()
    assert "unknown data set 'mnist'; allowed: tinyshakespeare, ptb, names, sst" in capsys.readouterr().err


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, DataStore]]:
    """A models folder with a bundle that the built-in recipe trained on a small file, and the data store."""
    folder = tmp_path_factory.mktemp("names")
    file = folder / "data" / "language_modelling" / "names" / "names.txt"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(f"{a}{b}n" for a in "abcdef" for b in "aeiou"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.data.download._verify", lambda entry, local: None)
        patch.setenv(DATA_VARIABLE, str(folder / "data"))
        words = ["generate", "--dataset", "names", "--hidden", "8", "--embedding", "4", "--epochs", "1"]
        words += ["--out", str(folder / "models"), "--threads", "1", "--quiet"]
        result = CliRunner().invoke(command_line(), words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        yield folder / "models", DataStore.open()


def test_the_quality_table_measures_the_graph_again(names: tuple[Path, DataStore]) -> None:
    """Recorded and measured figures stand side by side and agree."""
    models, store = names
    recorded = quality_table(models, [], None).splitlines()
    assert recorded[0] == "| bundle | data | metric | recorded | baselines |"
    assert recorded[2].startswith(
        "| names@1 | names, random tenth of the lines, by seed | nats per character"
    )
    measured = quality_table(models, ["names"], store).splitlines()
    cells = [cell.strip() for cell in measured[2].strip("|").split("|")]
    assert float(cells[5]) == pytest.approx(float(cells[3]), rel=1e-3)
    assert "3-gram" in cells[4]


def test_the_quality_of_an_unknown_bundle_is_an_error(
    names: tuple[Path, DataStore], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message lists the bundles there are."""
    monkeypatch.setattr(sys, "argv", ["rnnserve-train", "quality", "surnames", "--models", str(names[0])])
    with pytest.raises(SystemExit):
        main()
    assert "no bundle 'surnames' in the models folder; known: names" in capsys.readouterr().err
