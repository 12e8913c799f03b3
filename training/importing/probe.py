"""Which axes of a graph are batch and time, found by running it.

A layout is right when the graph runs with it, gives its states back in the shape in which it took them, and
answers alike for all steps at once and in two parts, for a batch and for each of its sequences alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

from app.core.errors import ConfigurationError, InvalidManifest
from training.importing.border import Border, Tensor
from training.importing.layout import Array, Layout, Layouts, native
from training.importing.options import ImportOptions
from training.importing.source import nodes_of

_ALIKE = 1e-3
"""Of the same answers computed in another way. What is beyond is another answer."""
_BATCH = re.compile(r"batch|^b$|^n$|^bs", re.IGNORECASE)
_TIME = re.compile(r"time|seq|len|step|frame|^t$|^l$", re.IGNORECASE)
_MAX_WIDTH = 1_000_000


class Original:
    """The graph as it came, run by ONNX Runtime on one thread."""

    def __init__(self, model: ModelProto, border: Border) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InvalidManifest(f"the graph cannot be loaded: {_first_line(error)}") from None
        self._border = border
        self.looks_ahead = _looking_ahead(model)
        self._fetches = [each.name for each in border.outputs] + [after.name for _, after in border.states]

    def run(self, steps: Array, layout: Layout, states: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """Steps ``[batch, time, *dims]``; outputs and next states in the graph's own shapes.

        Raises whatever ONNX Runtime does.
        """
        border = self._border
        feeds = {
            border.steps.name: native(steps, layout).astype(border.steps.numpy),
            **{each.name: np.full(len(steps), steps.shape[1], each.numpy) for each in border.lengths},
            **border.constants,
        }
        for (before, _), state in zip(border.states, states, strict=True):
            feeds[before.name] = state.astype(before.numpy)
        found = self._session.run(self._fetches, feeds)
        return found[: len(border.outputs)], found[len(border.outputs) :]


def find_layouts(
    original: Original, border: Border, options: ImportOptions, say: Callable[[str], None]
) -> Layouts:
    """The first layout, the likeliest first, with which the graph works.

    Raises:
        ConfigurationError: there is none; says why the likeliest failed.
    """
    reasons: list[str] = []
    for steps in _candidates(border.steps, options):
        try:
            found = _try(original, border, steps, options)
        except _Fails as error:
            reasons.append(f"with {steps}: {error}")
            continue
        if options.time_axis is None or options.batch_axis is None:
            say(f"guessed  axes     of {border.steps}: {found.steps}")
        return found
    if reasons and original.looks_ahead:
        raise ConfigurationError(
            f"the graph has a {original.looks_ahead}, which looks at what comes later, so that it cannot be "
            "served step by step; train the network in one direction"
        )
    width = len(options.columns) or options.step
    if not reasons and width is not None:
        option = "--columns" if options.columns else "--step"
        raise ConfigurationError(
            f"{option}: a step of {border.steps} has not {width} numbers, whichever axes are batch and time"
        )
    raise ConfigurationError(
        f"no batch and time axis of {border.steps} work; name them with --batch-axis and --time-axis, or the "
        f"numbers of a step with --step. {reasons[0] if reasons else 'Its sizes are not known.'}"
    )


class _Fails(Exception):
    """This layout is not the right one."""


def _candidates(tensor: Tensor, options: ImportOptions) -> list[Layout]:
    free = [axis for axis, size in enumerate(tensor.shape) if not isinstance(size, int) or size == 1]
    batches: list[int | None] = [*free, None]
    times: list[int | None] = [*free, None]
    if options.step is not None:
        times = [None]
    batches, times = _told(options.batch_axis, batches, tensor), _told(options.time_axis, times, tensor)
    found = []
    for batch, time in itertools.product(batches, times):
        dims = _dims(tensor, batch, time, options)
        if (batch is None or batch != time) and dims is not None:
            found.append(Layout(batch, time, dims))
    return sorted(found, key=lambda layout: _merit(tensor, layout), reverse=True)


def _told(option: int | str | None, axes: list[int | None], tensor: Tensor) -> list[int | None]:
    if option is None:
        return axes
    if option == "none":
        return [None]
    if not isinstance(option, int) or not 0 <= option < len(tensor.shape):
        raise ConfigurationError(
            f"an axis of {tensor} is 0 to {len(tensor.shape) - 1}, or none; not {option}"
        )
    return [option]


def _dims(
    tensor: Tensor, batch: int | None, time: int | None, options: ImportOptions
) -> tuple[int, ...] | None:
    """Sizes of the other axes; one that the graph does not say follows from the options."""
    width = len(options.columns) or options.step
    if width is not None:
        width += options.context
    sizes = [size for axis, size in enumerate(tensor.shape) if axis not in (batch, time)]
    unknown = [size for size in sizes if not isinstance(size, int)]
    if len(unknown) > 1 or (unknown and width is None):
        return None
    known = [size for size in sizes if isinstance(size, int)]
    if unknown:
        assert width is not None
        if width % prod(known):
            return None
        sizes = [size if isinstance(size, int) else width // prod(known) for size in sizes]
    dims = tuple(size for size in sizes if isinstance(size, int))
    wrong = width is not None and prod(dims) != width
    return None if wrong or prod(dims) > _MAX_WIDTH else dims


def _merit(tensor: Tensor, layout: Layout) -> tuple[int, ...]:
    names = 0
    for axis, ours, other in ((layout.batch, _BATCH, _TIME), (layout.time, _TIME, _BATCH)):
        size = None if axis is None else tensor.shape[axis]
        if isinstance(size, str):
            names += bool(ours.search(size)) - 2 * bool(other.search(size))
    open_axes = sum(axis is not None and tensor.shape[axis] != 1 for axis in (layout.batch, layout.time))
    has = (layout.batch is not None) + (layout.time is not None)
    # A number of its own for each step is rarer than a vector; batch first is more usual than last.
    return names, open_axes, len(layout.dims) > 0, has, layout.batch == 0


def _try(original: Original, border: Border, steps: Layout, options: ImportOptions) -> Layouts:
    shape = border.steps.shape
    batched = steps.batch is not None and not isinstance(shape[steps.batch], int)
    timed = steps.time is not None and not isinstance(shape[steps.time], int)
    states = []
    for before, _ in border.states:
        state = _state(before, border.steps, steps)
        batched = batched and state.batch is not None
        states.append(state)
    runs = _Runs(original, border, steps, states, options)
    sizes = (2 if batched else 1, 3 if timed else 1)
    outputs, after = runs.run(*sizes)
    for (before, _), state, behind in zip(border.states, states, after, strict=True):
        if behind.shape != state.shape(sizes[0], 0):
            raise _Fails(f"{before.name} comes back with the shape {list(behind.shape)}")
    wider = runs.run(sizes[0] + 1, sizes[1])[0] if batched else outputs
    longer = runs.run(sizes[0], sizes[1] + 1)[0] if timed else outputs
    batches = [_grown(a, b) for a, b in zip(outputs, wider, strict=True)]
    times = [_grown(a, b) for a, b in zip(outputs, longer, strict=True)]
    if batched and None in batches:
        raise _Fails("an output has no batch axis")
    whole = timed and None not in times
    if not whole:
        single, _ = runs.run(sizes[0], 1)
        outputs, times = single, [None] * len(outputs)
    found = Layouts(
        steps,
        tuple(states),
        tuple(
            Layout(batch, time, _others(output, batch, time))
            for output, batch, time in zip(outputs, batches, times, strict=True)
        ),
        whole,
        batched,
    )
    runs.check(found)
    return found


def _state(state: Tensor, tensor: Tensor, steps: Layout) -> Layout:
    unknown = [axis for axis, size in enumerate(state.shape) if not isinstance(size, int)]
    batch: int | None = None
    if len(unknown) == 1:
        batch = unknown[0]
    elif unknown:
        name = None if steps.batch is None else tensor.shape[steps.batch]
        same = [axis for axis in unknown if state.shape[axis] is not None and state.shape[axis] == name]
        named = [axis for axis in unknown if _BATCH.search(str(state.shape[axis]))]
        batch = next(iter(same or named or [0 if len(state.shape) == 2 else 1]))
    dims = [size for axis, size in enumerate(state.shape) if axis != batch]
    if any(not isinstance(size, int) for size in dims):
        raise _Fails(
            f"the sizes of the state {state} are not known; export it with fixed ones but for the batch"
        )
    return Layout(batch, None, tuple(size for size in dims if isinstance(size, int)))


def _grown(small: Array, large: Array) -> int | None:
    """The axis in which one more of something shows."""
    if small.ndim != large.ndim:
        raise _Fails("an output changes the number of its axes")
    grown = [axis for axis in range(small.ndim) if small.shape[axis] != large.shape[axis]]
    if len(grown) > 1 or any(large.shape[axis] != small.shape[axis] + 1 for axis in grown):
        raise _Fails("an output grows in more than one axis")
    return grown[0] if grown else None


def _others(output: Array, batch: int | None, time: int | None) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(output.shape) if axis not in (batch, time))


class _Runs:
    """Runs on random steps, the same for every number of them."""

    def __init__(
        self, original: Original, border: Border, steps: Layout, states: list[Layout], options: ImportOptions
    ) -> None:
        self._original, self._steps, self._states = original, steps, states
        random = np.random.default_rng(0)
        shape = (4, 4, *steps.dims)
        if border.tokens:
            self._values: Array = random.integers(0, min(options.vocabulary or 2, 1000), shape)
        else:
            self._values = (0.5 * random.standard_normal(shape)).astype(np.float32)

    def run(
        self,
        batch: int,
        time: int,
        states: Sequence[Array] | None = None,
        rows: slice = slice(None),
        first: int = 0,
    ) -> tuple[list[Array], list[Array]]:
        values = self._values[rows][:batch, first : first + time]
        given = states or [np.zeros(state.shape(batch, 0), np.float32) for state in self._states]
        try:
            return self._original.run(values, self._steps, given)
        except Exception as error:
            raise _Fails(_first_line(error)) from None

    def check(self, found: Layouts) -> None:
        """Raises for answers that are not those of the same steps cut, or of the same sequences alone."""
        batch, time = (2 if found.batched else 1), (4 if found.whole else 1)
        outputs, after = self.run(batch, time)
        if found.whole:
            first, states = self.run(batch, 2)
            second, states = self.run(batch, 2, states, first=2)
            for layout, whole, *parts in zip(found.outputs, outputs, first, second, strict=True):
                assert layout.time is not None
                _alike(whole, np.concatenate(parts, axis=layout.time), "a sequence cut in two")
            for whole, parted in zip(after, states, strict=True):
                _alike(whole, parted, "a sequence cut in two")
        for row in range(batch) if found.batched else ():
            alone, _ = self.run(1, time, rows=slice(row, row + 1))
            for layout, together, single in zip(found.outputs, outputs, alone, strict=True):
                assert layout.batch is not None
                _alike(np.take(together, [row], axis=layout.batch), single, "a sequence alone")


def _looking_ahead(model: ModelProto) -> str:
    """The first recurrent operator that reads its steps from the end, if there is one."""
    for node in nodes_of(model.graph):
        for attribute in node.attribute:
            if attribute.name == "direction" and attribute.s in (b"bidirectional", b"reverse"):
                return f"{attribute.s.decode()} {node.op_type}"
    return ""


def _alike(whole: Array, other: Array, what: str) -> None:
    scale = max(1.0, float(np.abs(whole).max(initial=0.0)))
    apart = (
        float(np.abs(whole.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))
        if whole.shape == other.shape
        else np.inf
    )
    if not apart <= _ALIKE * scale:
        raise _Fails(
            f"{what} gets another answer, by {apart:.2g}: the network looks at what comes later or at its "
            "neighbours, and cannot be served with this axis"
        )


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.rpartition("Status Message: ")[2][:300]
