"""One served model version."""

from __future__ import annotations

from dataclasses import dataclass

from app.bundle.manifest import Manifest
from app.core.ports import Submitter
from app.tasks.forecast.session import ForecastStream
from app.tasks.forecast.task import ForecastTask
from app.tasks.generate.task import GenerateTask
from app.tasks.sentiment.task import SentimentTask
from app.tasks.text_stream import GenerateStream, SentimentStream


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One served model version."""

    manifest: Manifest
    task: ForecastTask | SentimentTask | GenerateTask
    stream: ForecastStream | SentimentStream | GenerateStream
    engine: Submitter
