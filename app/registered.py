"""The tasks of this service: the one list that names them. A task is its folder and its line here."""

from __future__ import annotations

from app.tasks.caption.task import TASK as CAPTION
from app.tasks.compose.task import TASK as COMPOSE
from app.tasks.forecast.task import TASK as FORECAST
from app.tasks.generate.task import TASK as GENERATE
from app.tasks.sentiment.task import TASK as SENTIMENT
from app.tasks.sequence.task import TASK as SEQUENCE
from app.tasks.task import Task
from app.tasks.transcribe.task import TASK as TRANSCRIBE
from app.tasks.translate.task import TASK as TRANSLATE

TASKS: tuple[Task, ...] = (FORECAST, SENTIMENT, GENERATE, SEQUENCE, COMPOSE, TRANSCRIBE, TRANSLATE, CAPTION)
