"""The tables of ``docs/``: made from the code, compared by the tests, written by ``make docs``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from app.api import errors
from app.settings import Settings
from app.telemetry.metrics import Metrics

DOCS = Path(__file__).parent.parent / "docs"


def settings_table() -> str:
    """Each setting: flag, default, description."""
    lines = ["| flag | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `--{name.replace('_', '-')}` | {default} | {field.description} |")
    return "\n".join(lines)


def metrics_table() -> str:
    """Each metric: name, labels, meaning."""
    lines = ["| metric | labels | meaning |", "|---|---|---|"]
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            suffix = "_total" if metric._type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            lines.append(f"| `{metric._name}{suffix}` | {labels} | {metric._documentation} |")
    return "\n".join(lines)


def problems_table() -> str:
    """Each problem type: name, status, title."""
    lines = ["| name | status | title |", "|---|---|---|"]
    kinds = [*errors.KINDS.values(), errors.NOT_FOUND, errors.BAD_METHOD, errors.REFUSED]
    for kind in dict.fromkeys(kinds):
        lines.append(f"| `{kind.slug}` | {kind.status} | {kind.title} |")
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("configuration.md", settings_table),
    "metrics": ("operations.md", metrics_table),
    "problems": ("api.md", problems_table),
}
"""Marker to page and maker."""


def rewritten(text: str, marker: str, table: str) -> str:
    """A page with another table between its markers.

    Raises:
        AssertionError: the page does not have the markers.
    """
    pattern = re.compile(rf"(<!-- {marker}: [^\n]*-->\n).*?(\n<!-- end of {marker} -->)", re.DOTALL)
    result, count = pattern.subn(lambda match: match[1] + table + match[2], text)
    assert count == 1, f"the page has no place for {marker}"
    return result


def main() -> None:
    """Write every table."""
    for marker, (page, make) in TABLES.items():
        path = DOCS / page
        path.write_text(rewritten(path.read_text(), marker, make()))


if __name__ == "__main__":
    main()
