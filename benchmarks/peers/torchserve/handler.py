"""TorchServe: a handler whose batch is one run of ONNX Runtime."""

from __future__ import annotations

import json

from forecaster import Forecaster
from ts.context import Context
from ts.torch_handler.base_handler import BaseHandler


class ForecastHandler(BaseHandler):
    """Series in, quantiles out."""

    def initialize(self, context: Context) -> None:
        """In each worker."""
        self.forecaster = Forecaster()
        self.initialized = True

    def handle(self, data: list[dict], context: Context) -> list[dict]:
        """A batch; TorchServe parses the bodies of JSON requests."""
        values = []
        for row in data:
            body = row.get("body")
            values.append((body if isinstance(body, dict) else json.loads(body))["values"])
        return [{"quantiles": answer} for answer in self.forecaster.answer(values)]
