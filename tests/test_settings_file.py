"""The settings file, and the command that says what is in force and why."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.core.errors import ConfigurationError
from app.settings import ENV_PREFIX, Settings, load_settings

SECRETS = {
    "state_key": "a-very-secret-key-of-states",
    "sessions": "rediss://svcuser:p@ss/w:rd@cache.example:6380/3?prefix=x:&password=query-secret",
}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{ENV_PREFIX}{name.upper()}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file of three lines."""
    path = tmp_path / "rnnserve.toml"
    path.write_text('max_batch = 7\nmax_slots = 8\nlog_format = "json"\n')
    return path


def shown(*arguments: str) -> list[str]:
    """The lines of ``rnnserve config``."""
    result = CliRunner().invoke(cli, ["config", *arguments])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_flags_win_over_variables_over_the_file_over_defaults(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source in its turn; the file itself may be named by a variable."""
    monkeypatch.setenv("RNNSERVE_CONFIG", str(file))
    monkeypatch.setenv("RNNSERVE_MAX_SLOTS", "9")
    settings = load_settings(log_format="console")
    assert (settings.max_batch, settings.max_slots, settings.log_format) == (7, 9, "console")
    assert settings.max_chunk == Settings.model_fields["max_chunk"].default


def test_the_command_says_where_each_comes_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same four, as a person sees them."""
    monkeypatch.setenv("RNNSERVE_MAX_SLOTS", "9")
    lines = shown("--config", str(file), "--log-format", "console")
    found = {line.split(" = ")[0]: line.rpartition("  # ")[2] for line in lines if not line.startswith("#")}
    assert found["max_batch"] == str(file)
    assert found["max_slots"] == "RNNSERVE_MAX_SLOTS"
    assert found["log_format"] == "--log-format"
    assert found["port"] == "default"


def test_what_it_prints_is_a_settings_file(tmp_path: Path) -> None:
    """Every setting is there, and reading them gives the same settings."""
    again = tmp_path / "again.toml"
    given = {"port": "1", "models": 'a "folder"', "keys": "k.toml", "trusted_proxies": "10.0.0.0/8"}
    arguments = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    again.write_text("\n".join(shown(*arguments)))
    assert load_settings(config=again) == load_settings(**given).model_copy(update={"config": again})
    commented = {line[2:].split(" =")[0] for line in again.read_text().splitlines() if line.startswith("# ")}
    assert set(tomllib.loads(again.read_text())) | commented == set(Settings.model_fields)


@pytest.mark.parametrize("source", ["flag", "variable", "file"])
def test_secrets_are_masked(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they come from; what is no secret of an address stays."""
    arguments: list[str] = []
    for name, value in SECRETS.items():
        if source == "flag":
            arguments += [f"--{name.replace('_', '-')}", value]
        elif source == "variable":
            monkeypatch.setenv(f"{ENV_PREFIX}{name.upper()}", value)
    if source == "file":
        path = tmp_path / "secret.toml"
        path.write_text("\n".join(f'{name} = "{value}"' for name, value in SECRETS.items()))
        arguments = ["--config", str(path)]
    text = "\n".join(shown(*arguments))
    assert 'state_key = "****"' in text
    assert 'sessions = "rediss://****@cache.example:6380/3?****"' in text
    for secret in ("a-very-secret", "p@ss", "w:rd", "svcuser", "query-secret"):
        assert secret not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_bach = 7", "max_bach: no such setting"),
        ('config = "other.toml"', "config: no such setting"),
        ("max_batch = 0", "max_batch: .*greater than or equal to 1, got 0"),
        ("max_batch = [1]", "max_batch: .*got"),
        ('state_key = "short"', "state_key: .*got a value that is not shown"),
        ("max_batch =", "is not TOML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    """With the setting, what was wrong, and what is allowed."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_settings(config=path)
    assert str(path) in caught.value.message
    assert "short" not in caught.value.message.replace("shown", "")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Its settings would silently not hold."""
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_settings(config=tmp_path / "none.toml")


def test_keys_are_made_by_the_command(tmp_path: Path) -> None:
    """The key alone when the entry goes into a file, else both; a second of the same name is refused."""
    path = tmp_path / "keys.toml"
    alone = CliRunner().invoke(cli, ["keys", "new", "alice", "--append", str(path)])
    assert alone.output.startswith("rnnserve_")
    assert len(alone.output.split()) == 1
    both = CliRunner().invoke(cli, ["keys", "new", "bob", "--role", "admin"])
    key, _, entry = both.output.partition("\n\n")
    assert key.startswith("rnnserve_")
    with path.open("a") as file:
        file.write(f"\n{entry}")
    assert set(tomllib.loads(path.read_text())["keys"]) == {"alice", "bob"}
    assert key not in path.read_text()
    assert CliRunner().invoke(cli, ["keys", "new", "alice", "--append", str(path)]).exit_code != 0
