"""The quality table: what the manifests record, and the same measured again from graph and data."""

from __future__ import annotations

from pathlib import Path

from app.bundle.manifest import Manifest, Quality
from app.bundle.reader import Bundle, find_bundles, read_bundle
from app.core.errors import DataError
from training.card import metric_of, named
from training.data.download import DataStore
from training.recipes import RECIPES

# A figure is told from the others of a bundle by what it measures, on which data, on which part.
Key = tuple[str, str, str]


def quality_table(models: Path, names: list[str], store: DataStore | None) -> str:
    """Markdown of every recorded figure of the bundles.

    Args:
        models: the models folder.
        names: of bundles; all when empty.
        store: where the data are, to measure bundles of built-in data again; ``None`` does not.

    Returns:
        A table with the columns bundle, data, metric, recorded, baselines and, with ``store``,
        measured (``-`` where the data is not built in).

    Raises:
        DataError: a name is of no bundle.
        BundleError: a bundle does not verify.
    """
    bundles = [read_bundle(folder) for folder in find_bundles(models)]
    known = {bundle.manifest.name for bundle in bundles}
    for name in names:
        if name not in known:
            listing = ", ".join(sorted(known)) or "none"
            raise DataError(f"there is no bundle {name!r} in the models folder; known: {listing}")
    header = ["bundle", "data", "metric", "recorded", "baselines", *(["measured"] if store else [])]
    lines = [_row(header), _row(["---"] * len(header))]
    for bundle in bundles:
        if not names or bundle.manifest.name in names:
            again = measure_again(bundle, store) if store else {}
            lines += [
                _figure(bundle.manifest, figure, again, bool(store)) for figure in bundle.manifest.quality
            ]
    return "\n".join(lines)


def measure_again(bundle: Bundle, store: DataStore) -> dict[Key, float]:
    """The figures of a bundle trained on built-in data, computed by its graph."""
    recipe = RECIPES.get(bundle.manifest.task)
    return {_key(figure): figure.value for figure in recipe.measure_again(bundle, store)} if recipe else {}


def _key(figure: Quality) -> Key:
    return figure.metric, figure.dataset, figure.split


def _figure(manifest: Manifest, figure: Quality, again: dict[Key, float], measured: bool) -> str:
    cells = [
        manifest.reference,
        f"{figure.dataset}, {figure.split}",
        metric_of(figure),
        f"{figure.value:.4g}",
        named(figure.baselines),
    ]
    if measured:
        cells.append(f"{again[_key(figure)]:.4g}" if _key(figure) in again else "-")
    return _row(cells)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
