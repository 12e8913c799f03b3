"""What a network must beat: the usual answer, the last one known, a regression on what windows hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.sequence.series import Corpus, Series, judged

_WINDOWS = (6, 24)
_MOST_ROWS = 20_000
Array = NDArray[np.float64]


def baselines(corpus: Corpus, seed: int) -> dict[str, Array]:
    """The answers of each baseline to the targets of the test part."""
    train = judged(corpus.train)
    num = len(judged(corpus.test))
    classes = bool(corpus.labels)
    usual = float(np.bincount(train.astype(np.int64)).argmax()) if classes else float(train.mean())
    found = {"most frequent" if classes else "mean": np.full(num, usual)}
    if not corpus.last:
        known = np.concatenate([each.known[np.isfinite(each.targets)] for each in corpus.test])
        found["last value"] = np.where(np.isfinite(known), known, usual)
    name, fitted = _regression(corpus, train, seed)
    found[name] = np.asarray(fitted, np.float64)
    return found


def _regression(corpus: Corpus, train: Array, seed: int) -> tuple[str, Any]:
    classes = bool(corpus.labels)
    if corpus.tokenizer is not None:
        model = make_pipeline(
            CountVectorizer(analyzer="char_wb", ngram_range=(1, 3), min_df=2, lowercase=False),
            LogisticRegression(max_iter=1000, C=3.0),
        )
        model.fit([each.text for each in corpus.train], train)
        return "logistic regression on letters, pairs and triples", model.predict(
            [s.text for s in corpus.test]
        )
    means = _column_means(corpus.train)
    features = _statistics(corpus.train, means)
    rows = np.random.default_rng(seed).permutation(len(train))[:_MOST_ROWS]
    last = LogisticRegression(max_iter=1000) if classes else Ridge()
    model = make_pipeline(StandardScaler(), last)
    model.fit(features[rows], train[rows])
    kind = "logistic" if classes else "ridge"
    return f"{kind} regression on window statistics", model.predict(_statistics(corpus.test, means))


def _column_means(series: Sequence[Series]) -> Array:
    rows = np.concatenate([each.steps for each in series]).astype(np.float64)
    known = np.isfinite(rows)
    found: Array = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    return found


def _statistics(series: Sequence[Series], means: Array) -> Array:
    """At each target the last row, and of windows before it mean, deviation, least and most by column."""
    found = []
    for each in series:
        steps = np.asarray(each.steps, np.float64)
        missing = np.isnan(steps)
        filled = np.where(missing, means, steps)
        parts = [filled, missing.astype(np.float64)]
        for window in _WINDOWS:
            front = np.repeat(filled[:1], window - 1, axis=0)
            views = np.lib.stride_tricks.sliding_window_view(np.concatenate([front, filled]), window, axis=0)
            parts += [views.mean(axis=2), views.std(axis=2), views.min(axis=2), views.max(axis=2)]
        found.append(np.concatenate(parts, axis=1)[np.isfinite(each.targets)])
    return np.concatenate(found)
