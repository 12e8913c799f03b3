"""TorchServe with sequence batching: one event of each sequence in a batch, states in the worker.

As in TorchServe's example of stateful inference: all events of a sequence go to one worker, which keeps
its state in memory; it is gone with the worker.
"""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
from stepper import Stepper
from ts.context import Context
from ts.torch_handler.base_handler import BaseHandler

CAPACITY = 4096


class SequenceHandler(BaseHandler):
    """A token in, the most likely next token out."""

    def initialize(self, context: Context) -> None:
        """In each worker."""
        self.stepper = Stepper()
        self.states: OrderedDict[str, np.ndarray] = OrderedDict()
        self.initialized = True

    def handle(self, data: list[dict], context: Context) -> list[dict]:
        """A batch of events of different sequences."""
        ids = [context.get_sequence_id(index) for index in range(len(data))]
        tokens = []
        for row in data:
            body = row.get("body")
            tokens.append((body if isinstance(body, dict) else json.loads(body))["token"])
        rows = np.stack([self.states.get(id, self.stepper.start) for id in ids])
        chosen, rows = self.stepper.step(np.array(tokens), rows)
        for id, row in zip(ids, rows, strict=True):
            self.states[id] = row
            self.states.move_to_end(id)
        while len(self.states) > CAPACITY:
            self.states.popitem(last=False)
        return [{"token": int(token)} for token in chosen]
