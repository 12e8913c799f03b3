"""Settings: one source each, in order, and clear when they are wrong."""

from __future__ import annotations

import logging

import pytest
from pydantic import ValidationError

from app.core.errors import ConfigurationError
from app.core.limits import Limits
from app.settings import ENV_PREFIX, Settings, load_settings
from app.settings.models import parse_defaults


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{ENV_PREFIX}{name.upper()}", raising=False)


def test_flags_win_over_variables_and_variables_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source in its turn."""
    assert load_settings().max_batch == Limits().max_batch
    monkeypatch.setenv("RNNSERVE_MAX_BATCH", "7")
    assert load_settings().max_batch == 7
    assert load_settings(max_batch="9").max_batch == 9
    assert load_settings(max_batch=None).max_batch == 7


def test_every_limit_is_a_setting_with_the_same_default() -> None:
    """What the services read is what the user set."""
    assert load_settings().limits == Limits()
    assert set(Limits.model_fields) < set(Settings.model_fields)


def test_settings_cannot_be_changed() -> None:
    """They are read once."""
    with pytest.raises(ValidationError):
        load_settings().port = 1  # type: ignore[misc]  # it must not work


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"port": "x"}, "--port: .*got 'x'"),
        ({"max_batch": "0"}, "--max-batch: .*greater than or equal to 1.*got '0'"),
        ({"device": "tpu"}, "--device: .*'cpu' or 'cuda'.*got 'tpu'"),
        ({"request_timeout_s": "0"}, "--request-timeout-s"),
        ({"default": "music=x"}, "--default: .*TASK one of caption, compose, forecast, generate, sentiment"),
        ({"default": "generate=a,generate=b"}, "named twice"),
        ({"port": "x", "max_batch": "0"}, "--port.*; --max-batch"),
    ],
)
def test_a_wrong_flag_is_named(flags: dict[str, str], message: str) -> None:
    """With what is allowed, and all wrong ones at once."""
    with pytest.raises(ConfigurationError, match=message):
        load_settings(**flags)


def test_a_wrong_variable_is_named_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user learns where the value came from."""
    monkeypatch.setenv("RNNSERVE_MAX_SLOTS", "many")
    with pytest.raises(ConfigurationError, match=r"RNNSERVE_MAX_SLOTS: .*got 'many'"):
        load_settings()


def test_unknown_variables_are_warned_about(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt limit would be no limit. The training side's variable is not unknown."""
    monkeypatch.setenv("RNNSERVE_MAX_BACH", "7")
    monkeypatch.setenv("RNNSERVE_DATA", "/data")
    with caplog.at_level(logging.WARNING):
        load_settings()
    assert caplog.messages == ["RNNSERVE_MAX_BACH is not a setting of rnnserve and is ignored"]


def test_default_models_are_read_from_one_line() -> None:
    """Tasks by commas, with or without a version; empty means no preference."""
    assert parse_defaults(" forecast=a , generate=b@2,") == {"forecast": "a", "generate": "b@2"}
    assert parse_defaults("") == {}


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_says_what_it_is(name: str) -> None:
    """The description is the help text and the line in the documentation."""
    description = Settings.model_fields[name].description
    assert description
    assert description[0].islower() or description.startswith("ONNX")
    assert "|" not in description
