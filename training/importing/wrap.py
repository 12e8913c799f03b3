"""Somebody's graph behind the border of a bundle: states in one row, batch and time where they belong.

    rows one by one    Scan over rows  [ the rest, with a batch of one ]
    steps one by one   Scan over time  [ the graph, on one step ]
    otherwise                            the graph, on all steps of the batch

The row is split into states and put together again by each run of the graph.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from training.importing.border import Border
from training.importing.layout import Layout, Layouts
from training.importing.nodes import Nodes, floats, prefixed
from training.importing.options import ImportOptions, OutputOptions

OUTPUT = "outputs"
_PREFIX = "net/"


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How the graph is run: ``by_steps`` and ``by_rows``, or as many at once as there are."""

    by_steps: bool
    by_rows: bool


class Packed:
    """The packed graph of a model; ``outputs`` says how each of its outputs is scaled back."""

    def __init__(
        self,
        model: ModelProto,
        border: Border,
        layouts: Layouts,
        options: ImportOptions,
        outputs: tuple[OutputOptions, ...],
    ) -> None:
        self._model, self._border, self._layouts, self._options = model, border, layouts, options
        self._outputs = outputs
        self.tokens = border.tokens or options.one_hot
        self.width = 0 if self.tokens else layouts.steps.size - options.context
        self.fields = [
            (before.name, layout.dims)
            for (before, _), layout in zip(border.states, layouts.states, strict=True)
        ]
        if options.context:
            self.fields.append(("context", (options.context,)))
        self.row = sum(int(np.prod(dims)) for _, dims in self.fields)
        self.total = sum(layout.size for layout in layouts.outputs)

    def build(self, wrapping: Wrapping) -> bytes:
        """The ONNX model of a bundle, as bytes; raises what ``onnx.checker`` does."""
        main = Nodes(itertools.count())
        steps: list[int | str] = ["batch", "time", *([] if self.tokens else [self.width])]
        name, kind = ("tokens", TensorProto.INT64) if self.tokens else ("x", TensorProto.FLOAT)
        if wrapping.by_rows:
            outputs, row = self._rows(main, name, "state", wrapping)
        else:
            outputs, row = self._sequence(main, name, "state", wrapping)
        ends = main.constant(np.array([np.iinfo(np.int64).max], np.int64))
        main.rename(main.one("Slice", outputs, "head_from", ends, main.ints(1)), OUTPUT)
        main.rename(row, "state_out")
        graph = main.graph(
            "imported",
            [
                helper.make_tensor_value_info(name, kind, steps),
                floats("state", ["batch", self.row]),
                helper.make_tensor_value_info("head_from", TensorProto.INT64, [1]),
            ],
            [floats(OUTPUT, ["batch", "read", self.total]), floats("state_out", ["batch", self.row])],
        )
        made = helper.make_model(
            graph,
            opset_imports=[each for each in self._model.opset_import if each.domain in ("", "ai.onnx")],
            producer_name="rnnserve",
            ir_version=self._model.ir_version,
        )
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString())

    def _rows(self, g: Nodes, x: str, state: str, wrapping: Wrapping) -> tuple[str, str]:
        """Each sequence by itself, as a batch of one."""
        body = Nodes(g.counter)
        row, steps = body.name("row"), body.name("steps")
        alone = body.one("Unsqueeze", steps, body.ints(0))
        outputs, after = self._sequence(body, alone, body.one("Unsqueeze", row, body.ints(0)), wrapping)
        outputs = body.one("Squeeze", outputs, body.ints(0))
        after = body.one("Squeeze", after, body.ints(0))
        kind = TensorProto.INT64 if self.tokens else TensorProto.FLOAT
        shape: list[int | str] = ["time", *([] if self.tokens else [self.width])]
        graph = body.graph(
            "row",
            [helper.make_tensor_value_info(steps, kind, shape), floats(row, [self.row])],
            [floats(outputs, ["time", self.total]), floats(after, [self.row])],
        )
        found, rows = g.op("Scan", x, state, num=2, body=graph, num_scan_inputs=2)
        return found, rows

    def _sequence(self, g: Nodes, x: str, state: str, wrapping: Wrapping) -> tuple[str, str]:
        """Steps ``[batch, time, ...]`` and rows to outputs ``[batch, time, total]`` and rows."""
        if not wrapping.by_steps:
            return self._network(g, x, state, timed=True)
        body = Nodes(g.counter)
        row, step = body.name("row"), body.name("step")
        outputs, after = self._network(body, step, row, timed=False)
        kind = TensorProto.INT64 if self.tokens else TensorProto.FLOAT
        shape: list[int | str] = ["batch", *([] if self.tokens else [self.width])]
        graph = body.graph(
            "step",
            [floats(row, ["batch", self.row]), helper.make_tensor_value_info(step, kind, shape)],
            [floats(after, ["batch", self.row]), floats(outputs, ["batch", self.total])],
        )
        rows, found = g.op(
            "Scan", state, x, num=2, body=graph, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]
        )
        return found, rows

    def _network(self, g: Nodes, x: str, state: str, *, timed: bool) -> tuple[str, str]:
        """The graph on steps ``[batch, time, ...]`` or, not ``timed``, on one step ``[batch, ...]``."""
        options, layouts, border = self._options, self._layouts, self._border
        sizes = [int(np.prod(dims)) for _, dims in self.fields]
        parts = g.op("Split", state, g.ints(*sizes), num=len(sizes), axis=1) if len(sizes) > 1 else [state]
        lengths = g.lengths(x, timed=timed) if border.lengths else ""
        x = self._features(g, x)
        after: list[str] = []
        if options.context:
            x = g.one("Concat", parts[-1], x, axis=1)
            after = [g.slice(x, -options.context, None, axis=1)]
        given = {border.steps.name: g.cast(_arrange(g, x, layouts.steps, timed=timed), border.steps.dtype)}
        for (before, _), layout, part in zip(border.states, layouts.states, parts, strict=False):
            given[before.name] = g.cast(_arrange(g, part, layout, timed=False), before.dtype)
        for each in border.lengths:
            given[each.name] = g.cast(lengths, each.dtype)
        for name, value in border.constants.items():
            given[name] = g.constant(value)
        net = prefixed(self._model.graph, _PREFIX)
        for name, tensor in given.items():
            g.rename(tensor, _PREFIX + name)
        g.nodes.extend(net.node)
        g.weights.extend(net.initializer)
        states = [
            _flat(g, g.cast(_PREFIX + end.name, TensorProto.FLOAT), layout, timed=False)
            for (_, end), layout in zip(border.states, layouts.states, strict=True)
        ]
        outputs = [
            self._scaled(
                g, _flat(g, g.cast(_PREFIX + end.name, TensorProto.FLOAT), layout, timed=timed), said
            )
            for end, layout, said in zip(border.outputs, layouts.outputs, self._outputs, strict=True)
        ]
        return g.one("Concat", *outputs, axis=-1), g.one("Concat", *states, *after, axis=-1)

    def _features(self, g: Nodes, x: str) -> str:
        options = self._options
        if options.one_hot:
            return g.one("Gather", g.constant(np.eye(self._layouts.steps.size, dtype=np.float32)), x, axis=0)
        columns = options.columns
        if self.tokens or not columns:
            return x
        mean = np.array([column.mean for column in columns], np.float32)
        deviation = np.array([column.deviation for column in columns], np.float32)
        if any(column.missing for column in columns):
            x = g.one("Where", g.one("IsNaN", x), g.constant(mean), x)
        if mean.any() or (deviation != 1).any():
            x = g.one("Div", g.one("Sub", x, g.constant(mean)), g.constant(deviation))
        if options.clip is not None:
            bound = np.array(options.clip, np.float32)
            x = g.one("Clip", x, g.constant(-bound), g.constant(bound))
        return x

    @staticmethod
    def _scaled(g: Nodes, y: str, said: OutputOptions) -> str:
        if (said.mean, said.deviation) == (0.0, 1.0):
            return y
        y = g.one("Mul", y, g.constant(np.array(said.deviation, np.float32)))
        return g.one("Add", y, g.constant(np.array(said.mean, np.float32)))


def _arrange(g: Nodes, x: str, layout: Layout, *, timed: bool) -> str:
    """``[batch, (time,) numbers]`` in the order of the graph's own array, with those axes that it has."""
    places = [axis for axis in (layout.batch, layout.time) if axis is not None]
    if timed and layout.batch is None:
        x = g.one("Squeeze", x, g.ints(0))
    # In a shape, 0 keeps the size.
    shape = [0] * len(places) if timed else [0 if axis == layout.batch else 1 for axis in places]
    shape += layout.dims
    x = g.reshape(x, *shape)
    others = iter(range(len(places), len(shape)))
    order = [places.index(axis) if axis in places else next(others) for axis in range(len(shape))]
    return g.transpose(x, order)


def _flat(g: Nodes, y: str, layout: Layout, *, timed: bool) -> str:
    """The graph's own array as ``[batch, (time,) numbers]``."""
    places = [axis for axis in (layout.batch, layout.time) if axis is not None]
    rank = len(places) + len(layout.dims)
    others = [axis for axis in range(rank) if axis not in places]
    y = g.transpose(y, [*places, *others])
    size = layout.size
    if timed:
        if layout.batch is None:
            y = g.reshape(y, 0, size)
            return g.one("Unsqueeze", y, g.ints(0))
        return g.reshape(y, 0, 0, size)
    return g.reshape(y, 0 if layout.batch is not None else 1, size)
