"""The quality table: what the manifests record, and the same measured again from graph and data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.bundle.manifest import Manifest, Quality
from app.bundle.reader import Bundle, find_bundles, read_bundle
from app.core.errors import DataError
from app.features.text import TextCodec
from training.data.download import DataStore
from training.forecast.backtest import GraphForecaster
from training.forecast.measure import report_built_in
from training.forecast.series import PATHS, built_in
from training.generate.data import count_characters, load_corpus
from training.generate.recipe import PRESETS as TEXTS
from training.generate.recipe import measure
from training.graph_net import GraphNet
from training.sentiment.data import encode, load_reviews
from training.sentiment.measure import score_labels
from training.tokenizers import encode_many, line_end_token

# A figure is told from the others of a bundle by what it measures, on which data, on which part.
Key = tuple[str, str, str]
Measure = Callable[[Bundle, DataStore], dict[Key, float]]


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
    return _MEASURES[bundle.manifest.task](bundle, store)


def _key(figure: Quality) -> Key:
    return figure.metric, figure.dataset, figure.split


def _measure_forecaster(bundle: Bundle, store: DataStore) -> dict[Key, float]:
    if not any(source.name in PATHS for source in bundle.manifest.provenance.data):
        return {}
    report = report_built_in(GraphForecaster(bundle), built_in(store), store)
    return {_key(figure): figure.value for figure in report}


def _measure_language_model(bundle: Bundle, store: DataStore) -> dict[Key, float]:
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)
    figures: dict[Key, float] = {}
    for figure in bundle.manifest.quality:
        if figure.dataset in TEXTS:
            lines = TEXTS[figure.dataset].lines
            corpus = load_corpus(figure.dataset, None, lines, bundle.manifest.provenance.seed, store)
            test = [np.asarray(ids, np.int64) for ids in encode_many(codec, corpus.parts.test)]
            nats = measure(GraphNet(bundle), test, line_end_token(codec), lines)
            figures[_key(figure)] = nats / count_characters(corpus.parts.test, lines)
    return figures


def _measure_classifier(bundle: Bundle, store: DataStore) -> dict[Key, float]:
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)
    built_in_titles = {"SST-2", "IMDb"}
    figures = [figure for figure in bundle.manifest.quality if figure.dataset in built_in_titles]
    if not figures:
        return {}
    corpora, _ = load_reviews(store, bundle.manifest.provenance.seed)
    tests = {corpus.title: encode(codec, corpus.test, 0) for corpus in corpora}
    net = GraphNet(bundle)
    return {_key(figure): score_labels(net, *tests[figure.dataset].pair).accuracy for figure in figures}


_MEASURES: dict[str, Measure] = {
    "forecast": _measure_forecaster,
    "generate": _measure_language_model,
    "sentiment": _measure_classifier,
}


def _figure(manifest: Manifest, figure: Quality, again: dict[Key, float], measured: bool) -> str:
    arrow = "higher is better" if figure.higher_is_better else "lower is better"
    baselines = ", ".join(f"{name} {value:.4g}" for name, value in figure.baselines.items())
    cells = [
        manifest.reference,
        f"{figure.dataset}, {figure.split}",
        f"{figure.metric} ({arrow})",
        f"{figure.value:.4g}",
        baselines or "-",
    ]
    if measured:
        cells.append(f"{again[_key(figure)]:.4g}" if _key(figure) in again else "-")
    return _row(cells)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
