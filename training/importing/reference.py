"""What the original graph says, step by step and sequence by sequence: the golden vectors of the bundle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Golden
from app.core.errors import ConfigurationError, ExportError
from training.importing.border import Border
from training.importing.layout import Array, Layout, Layouts
from training.importing.options import ImportOptions, OutputOptions
from training.importing.probe import Original
from training.importing.wrap import OUTPUT, Packed

_SEQUENCES, _STEPS = 3, 24


def sample_steps(options: ImportOptions, packed: Packed) -> Array:
    """Steps ``[3, 24, ...]``: real ones where they are given, otherwise random ones as the columns say.

    Raises:
        ConfigurationError: the file of samples does not fit.
    """
    random = np.random.default_rng(0)
    shape = (_SEQUENCES, _STEPS)
    if packed.tokens:
        return random.integers(0, options.vocabulary or 2, shape)
    if options.samples is not None:
        return _read_samples(options, packed.width)
    steps = random.standard_normal((*shape, packed.width))
    for at, column in enumerate(options.columns):
        steps[:, :, at] = column.mean + column.deviation * steps[:, :, at]
        if column.missing:
            steps[0, at % _STEPS, at] = np.nan
    return steps.astype(np.float32)


def _read_samples(options: ImportOptions, width: int) -> Array:
    assert options.samples is not None
    try:
        found = np.load(options.samples, allow_pickle=False)
        steps = np.asarray(found, np.float32)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise ConfigurationError(f"--samples: cannot read {str(options.samples)!r}: {error}") from error
    if steps.size < width or steps.size % width or (steps.ndim > 1 and steps.shape[-1] != width):
        raise ConfigurationError(f"--samples: an array [time, {width}] is needed, not {list(steps.shape)}")
    return np.resize(steps.reshape(-1, width), (_SEQUENCES, _STEPS, width))


def record(
    original: Original,
    border: Border,
    layouts: Layouts,
    options: ImportOptions,
    packed: Packed,
    outputs: tuple[OutputOptions, ...],
    steps: Array,
) -> Golden:
    """Every sequence alone, and every step alone where the graph takes no more at once.

    Raises:
        ExportError: an output is not finite.
    """
    said, rows = [], []
    for sequence in steps:
        fed = _features(sequence, layouts.steps, options)
        length = len(fed) if layouts.whole and not options.context else 1
        states: list[Array] = [np.zeros(layout.shape(1, 0), np.float32) for layout in layouts.states]
        pieces: list[list[NDArray[np.float32]]] = []
        for first in range(0, len(fed), length):
            piece = fed[None, first : first + length]
            found, states = original.run(piece, layouts.steps, states)
            pieces.append(
                [
                    _scaled(_flat(each, layout, length), option)
                    for each, layout, option in zip(found, layouts.outputs, outputs, strict=True)
                ]
            )
        said.append(np.concatenate([np.concatenate(parts, axis=1) for parts in pieces]))
        row = [_flat(state, layout, 1)[0] for state, layout in zip(states, layouts.states, strict=True)]
        if options.context:
            row.append(fed.reshape(len(fed), -1)[-1, -options.context :].astype(np.float32))
        rows.append(np.concatenate(row))
    golden = Golden(steps, {OUTPUT: np.stack(said)}, np.stack(rows))
    if not (np.isfinite(golden.outputs[OUTPUT]).all() and np.isfinite(golden.state_out).all()):
        raise ExportError(
            "the network's outputs are not finite on the recorded steps; give real ones by --samples"
        )
    return golden


def _features(sequence: Array, layout: Layout, options: ImportOptions) -> Array:
    """Steps ``[time, *dims]`` as the original is fed them."""
    values: Array = sequence
    if options.one_hot:
        values = np.eye(layout.size, dtype=np.float32)[sequence.astype(np.int64)]
    elif options.columns:
        numbers = sequence.astype(np.float32)
        mean = np.array([column.mean for column in options.columns], np.float32)
        deviation = np.array([column.deviation for column in options.columns], np.float32)
        numbers = (np.where(np.isnan(numbers), mean, numbers) - mean) / deviation
        values = numbers if options.clip is None else np.clip(numbers, -options.clip, options.clip)
    if options.context:
        flat = values.reshape(-1)
        before = np.concatenate([np.zeros(options.context, flat.dtype), flat])
        width = values.shape[1]
        values = np.stack(
            [before[at * width : at * width + width + options.context] for at in range(len(values))]
        )
    return values.reshape(len(values), *layout.dims)


def _flat(array: Array, layout: Layout, length: int) -> NDArray[np.float32]:
    """The graph's own array, of one sequence, as ``[time, numbers]``."""
    axes = [axis for axis in (layout.batch, layout.time) if axis is not None]
    moved = np.moveaxis(array, axes, range(len(axes)))
    return moved.reshape(length, layout.size).astype(np.float32)


def _scaled(values: NDArray[np.float32], option: OutputOptions) -> NDArray[np.float32]:
    if (option.mean, option.deviation) == (0.0, 1.0):
        return values
    return values * np.float32(option.deviation) + np.float32(option.mean)
