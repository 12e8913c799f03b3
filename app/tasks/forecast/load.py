"""What ``rnnserve bench`` sends to a forecaster: an hourly series with a daily season and noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from app.tasks.task import Load


def _body(chance: Random, options: Mapping[str, Any]) -> dict[str, Any]:
    level, height = chance.uniform(50, 500), chance.uniform(5, 40)
    values = [
        round(level + height * math.sin(math.tau * hour / 24) + chance.gauss(0, height / 5), 2)
        for hour in range(options["points"])
    ]
    return {"values": values, "freq": "h", "horizon": options["horizon"]}


LOAD = Load(
    body=_body,
    answered=b'"forecasts"',
    inputs=lambda number: b"[%d.5]" % (100 + number * 7 % 60),
)
