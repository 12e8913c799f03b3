"""How often few data are gone over."""

from __future__ import annotations

from typing import Any

import pytest

from training.attending.fitting import LEAST_STEPS, fitted
from training.caption.settings import CaptionSettings
from training.translate.settings import TranslateSettings


@pytest.mark.parametrize("settings", [CaptionSettings(), TranslateSettings()])
def test_few_data_are_gone_over_until_there_are_enough_steps(settings: Any) -> None:
    """With patience for as large a part of the run; and where there are enough, nothing changes."""
    for batches in (1, 2, 7):
        more = fitted(settings, batches, {"epochs": None, "batch": 3})
        assert LEAST_STEPS <= more.epochs * batches < LEAST_STEPS + batches
        assert more.patience / more.epochs == pytest.approx(settings.patience / settings.epochs, abs=0.01)
    enough = -(-LEAST_STEPS // settings.epochs)
    assert fitted(settings, enough, {}) == settings
    assert fitted(settings, enough - 1, {}).epochs > settings.epochs


def test_what_was_given_stays() -> None:
    settings = CaptionSettings(epochs=3, patience=2)
    assert fitted(settings, 1, {"epochs": 3}) == settings
    kept = fitted(settings, 1, {"patience": 2})
    assert (kept.epochs, kept.patience) == (LEAST_STEPS, 2)
