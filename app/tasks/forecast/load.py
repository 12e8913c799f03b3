"""What ``rnnserve bench`` asks of a forecaster: hourly series with a daily wave."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from app.tasks.load import Load, LoadOption


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    level, height = chance.uniform(50, 500), chance.uniform(5, 40)
    values = [
        round(level + height * math.sin(math.tau * hour / 24) + chance.gauss(0, height / 5), 2)
        for hour in range(options["points"])
    ]
    return {"values": values, "freq": "h", "horizon": options["horizon"]}


LOAD = Load(
    options=(
        LoadOption(name="points", help="observations of a forecast", default=168, least=2, most=100_000),
        LoadOption(name="horizon", help="steps ahead of a forecast", default=24, least=1, most=10_000),
    ),
    body=_body,
    answered=b'"forecasts"',
    inputs=lambda number: b"[%d.5]" % (100 + number * 7 % 60),
)
