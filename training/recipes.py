"""The recipes there are. A task is added to training by its folder and a line here."""

from __future__ import annotations

from typing import Any

from training.caption.recipe import CaptionRecipe
from training.compose.recipe import ComposeRecipe
from training.forecast.recipe import ForecastRecipe
from training.generate.recipe import GenerateRecipe
from training.recipe import Recipe
from training.sentiment.recipe import SentimentRecipe
from training.sequence.recipe import SequenceRecipe
from training.transcribe.recipe import TranscribeRecipe
from training.translate.recipe import TranslateRecipe

_ALL: tuple[type[Recipe[Any, Any]], ...] = (
    ForecastRecipe,
    SentimentRecipe,
    GenerateRecipe,
    SequenceRecipe,
    ComposeRecipe,
    TranscribeRecipe,
    TranslateRecipe,
    CaptionRecipe,
)
RECIPES: dict[str, type[Recipe[Any, Any]]] = {recipe.task: recipe for recipe in _ALL}
