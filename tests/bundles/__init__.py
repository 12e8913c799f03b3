"""Tiny bundles of every task and cell, made by the real exporter from untrained networks.

Weights are random but fixed, so their answers mean nothing and repeat exactly.
"""

from __future__ import annotations

from tests.bundles.series import (
    HORIZON,
    NINE_LEVELS,
    golden_series,
    tiny_covariate_forecaster,
    tiny_forecaster,
    tiny_reader,
)
from tests.bundles.sounds import TINY_VOICES, tiny_composer, tiny_hearer
from tests.bundles.texts import (
    LABELS,
    LETTERS,
    TONGUES,
    WORDS,
    tiny_bpe_generator,
    tiny_classifier,
    tiny_generator,
    tiny_speller,
    tiny_translator,
)
from tests.bundles.untrained import CELLS

__all__ = [
    "CELLS",
    "HORIZON",
    "LABELS",
    "LETTERS",
    "NINE_LEVELS",
    "TINY_VOICES",
    "TONGUES",
    "WORDS",
    "golden_series",
    "tiny_bpe_generator",
    "tiny_classifier",
    "tiny_composer",
    "tiny_covariate_forecaster",
    "tiny_forecaster",
    "tiny_generator",
    "tiny_hearer",
    "tiny_reader",
    "tiny_speller",
    "tiny_translator",
]
