"""What the dashboard and the rules ask for, as expressions and names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.e2e.server import REPOSITORY

DASHBOARD = REPOSITORY / "deploy/grafana/dashboards/rnnserve.json"
RULES = REPOSITORY / "deploy/alerts.yml"
_NAME = re.compile(r"\b((?:rnnserve|process)_\w+)")
_VARIABLES = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$model": ".*"}


def dashboard() -> dict[str, Any]:
    """The file."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def panel_expressions() -> list[tuple[str, str]]:
    """Title and expression of each query of each panel, with the variables filled in."""
    return [
        (panel["title"], _filled(target["expr"]))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]


def variable_expressions() -> list[str]:
    """The selectors that the dashboard's variables are made from."""
    return [
        _filled(re.sub(r"^label_values\((.*), \w+\)$", r"\1", one["definition"]))
        for one in dashboard()["templating"]["list"]
        if one["type"] == "query"
    ]


def rules() -> Iterator[dict[str, Any]]:
    """Every rule."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def names_in(expression: str) -> set[str]:
    """The metrics of ours, and of the process, that an expression reads; recorded ones aside."""
    return set(_NAME.findall(re.sub(r"\bjob:\w+(:\w+)?", "", expression)))


def matchers_in(expression: str) -> Iterator[tuple[str, str, str]]:
    """Metric, label and value of each equality in the selectors of an expression."""
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)="([^"]*)"', selector):
            yield name, label, value


def _filled(expression: str) -> str:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression
