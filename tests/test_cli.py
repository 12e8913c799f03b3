"""The command line is made from the settings."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.settings import Settings


@pytest.fixture(scope="module")
def help_text() -> str:
    """What ``rnnserve serve --help`` prints, without the frame's line breaks."""
    result = CliRunner().invoke(cli, ["serve", "--help"], env={"COLUMNS": "400", "NO_COLOR": "1"})
    assert result.exit_code == 0
    return re.sub(r"[\s│]+", " ", result.output)


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_a_flag_with_its_help(help_text: str, name: str) -> None:
    """Flag, description, variable and default."""
    field = Settings.model_fields[name]
    assert f"--{name.replace('_', '-')}" in help_text
    assert field.description is not None
    assert f"{field.description} (RNNSERVE_{name.upper()}, default {field.default})" in help_text


def test_an_unknown_flag_is_refused() -> None:
    """With a hint to the help."""
    result = CliRunner().invoke(cli, ["serve", "--prot", "80"])
    assert result.exit_code == 2
    assert "--prot" in result.output
