"""What the tests of deployment files share: reading them, and the service's own settings and routes."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from app.edge.routes import health
from app.settings import ENV_PREFIX, Settings, load_settings
from tests.e2e.server import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
ROUTES = frozenset(route.path for route in health.router.routes if isinstance(route, Route))
"""Of health and metrics."""

FLUSH_S = 5
"""Seconds after the grace time in which last answers leave and the process ends, generously."""


def read_yaml(path: Path) -> Any:
    """The one document of a file."""
    return yaml.safe_load(path.read_text())


def image_variables() -> dict[str, str]:
    """The settings that the image brings along."""
    return dict(re.findall(rf"^[ E].*?({ENV_PREFIX}\w+)=(\S+)", DOCKERFILE, re.MULTILINE))


def settings_of(variables: Mapping[str, str]) -> Settings:
    """The settings of a server that is started with these variables and no others.

    A name that is no setting would only be warned about at run time; here it fails.
    """
    given = {name: value for name, value in variables.items() if name.startswith(ENV_PREFIX)}
    names = {name: name.removeprefix(ENV_PREFIX).lower() for name in given}
    unknown = sorted(name for name, setting in names.items() if setting not in Settings.model_fields)
    assert not unknown, f"not settings of rnnserve: {', '.join(unknown)}"
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(f"{ENV_PREFIX}{name.upper()}", raising=False)
        return load_settings(**{names[name]: value for name, value in given.items()})


def seconds(text: str) -> float:
    """A duration as compose and HAProxy write it: ``30s``, ``500ms``."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()  # type: ignore[union-attr]  # it matches
    return float(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


def program(name: str, package: str) -> str:
    """Path of a program, beside this interpreter or anywhere; the test is skipped without it."""
    beside = Path(sys.executable).parent / name
    found = (
        str(beside) if beside.exists() else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    )
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found
