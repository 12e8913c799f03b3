"""The tables of ``docs/``: made from the code, compared by the tests, written by ``make docs``."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from app.edge import errors
from app.settings import Settings
from app.telemetry.catalogue import Catalogue, Family
from tests import steps

DOCS = Path(__file__).parent.parent / "docs"
SHIPPED = DOCS.parent / "app/shipped.json"


def settings_table() -> str:
    """Each setting: flag, default, description."""
    lines = ["| flag | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `--{name.replace('_', '-')}` | {default} | {field.description} |")
    return "\n".join(lines)


def sample_name(family: Family) -> str:
    """The name that people write: a counter's samples end in ``_total``."""
    (metric,) = family.metric.describe()
    return metric.name + "_total" * (metric.type == "counter")


def metrics_table() -> str:
    """Each metric: name, kind, labels, meaning."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in Catalogue().families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        (metric,) = family.metric.describe()
        name = sample_name(family)
        lines.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return "\n".join(lines)


def problems_table() -> str:
    """Each problem type: name, status, title."""
    lines = ["| name | status | title |", "|---|---|---|"]
    kinds = [*errors.KINDS.values(), errors.NOT_FOUND, errors.BAD_METHOD, errors.REFUSED]
    for kind in dict.fromkeys(kinds):
        lines.append(f"| `{kind.slug}` | {kind.status} | {kind.title} |")
    return "\n".join(lines)


def shipped() -> str:
    """The bundles of ``models/``, each with the sha256 of its manifest, which has those of its files."""
    models = DOCS.parent / "models"
    sums = {
        path.parent.relative_to(models).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(models.glob("*/*/manifest.json"))
    }
    return json.dumps(sums, indent=2) + "\n"


def layers() -> str:
    """The map that import-linter enforces, from above to below."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one["name"].startswith("The map:")]
    return "\n".join(["```text", *layers, "```"])


def layers_of_modules() -> str:
    """What ``export_module`` takes."""
    from training.cells import CELLS  # only this table needs PyTorch
    from training.layers import LAYERS

    names = [f"`{kind.__name__}`" for kind in (*CELLS, *LAYERS) if kind.__name__ != "Softmax"]
    return ", ".join(names)


def example(name: str, first: str = "", end: str = "") -> Callable[[], str]:
    """A program of ``examples/``, or a part of it: the lines from ``first`` on, up to ``end``."""

    def make() -> str:
        code = (DOCS.parent / "examples" / name).read_text()
        code = code[code.index(first) : code.index(end) if end else None]
        return f"```python\n{code.strip()}\n```"

    return make


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("configuration.md", settings_table),
    "metrics": ("observability.md", metrics_table),
    "problems": ("api.md", problems_table),
    "layers": ("design.md", layers),
    "steps": ("design.md", steps.table),
    "own-model": ("your-model.md", example("own_model.py")),
    "layers-of-modules": ("your-model.md", layers_of_modules),
    "own-forecaster": ("your-model.md", example("own_forecaster.py", "class OwnF", "def running_sum")),
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
    """Write every table, and what ``rnnserve models fetch`` knows of the bundles."""
    SHIPPED.write_text(shipped())
    for marker, (page, make) in TABLES.items():
        path = DOCS / page
        path.write_text(rewritten(path.read_text(), marker, make()))


if __name__ == "__main__":
    main()
