"""Which inputs of a graph are states, which output each of them comes back as, and what else there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from app.core.errors import ConfigurationError, InvalidManifest
from training.importing.options import ImportOptions

Size = int | str | None
"""A size that is fixed, the name of one that is not, or nothing."""

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_TOKENS = (TensorProto.INT64, TensorProto.INT32)
_LENGTH = re.compile(r"len", re.IGNORECASE)
_AFFIX = re.compile(
    r"in|out|input|output|initial|init|prev|previous|next|new|last|final|past|present|0|n|t|t1|1"
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the graph."""

    name: str
    dtype: int
    shape: tuple[Size, ...]

    @property
    def numpy(self) -> np.dtype[np.generic]:
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.dtype))

    def __str__(self) -> str:
        return f"{self.name} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Border:
    """``lengths`` are inputs that get the number of steps, ``constants`` always the same value."""

    steps: Tensor
    states: tuple[tuple[Tensor, Tensor], ...]
    outputs: tuple[Tensor, ...]
    lengths: tuple[Tensor, ...]
    constants: dict[str, NDArray[np.generic]]

    @property
    def tokens(self) -> bool:
        """Whether the graph itself reads whole numbers."""
        return self.steps.dtype in _TOKENS


def find_border(graph: GraphProto, options: ImportOptions, say: Callable[[str], None]) -> Border:
    """What the options say, and a guess of the rest, which is shown.

    Raises:
        ConfigurationError: the options name what is not there, or the rest cannot be guessed.
        InvalidManifest: the graph has a border that no bundle can have.
    """
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {each.name: _tensor(each) for each in graph.input if each.name not in weights}
    outputs = {each.name: _tensor(each) for each in graph.output}
    constants = _constants(inputs, options)
    free = {name: tensor for name, tensor in inputs.items() if name not in constants}
    pairs = _pairs(free, outputs, options, say)
    left = [tensor for name, tensor in free.items() if name not in {before.name for before, _ in pairs}]
    lengths = [tensor for tensor in left if _is_length(tensor) and tensor.name != options.input]
    left = [tensor for tensor in left if tensor not in lengths]
    steps = _steps(left, inputs, options, say)
    for tensor in lengths:
        say(f"guessed  lengths  {tensor} gets the number of steps")
    others = [tensor.name for tensor in left if tensor is not steps]
    if others:
        raise ConfigurationError(
            f"the inputs {', '.join(others)} are neither the steps nor states; give each a value with --set "
            "NAME=NUMBER, or name the states with --state INPUT:OUTPUT"
        )
    behind = {after.name for _, after in pairs}
    named = [each.graph for each in options.outputs] or list(options.output)
    for name in named:
        if name not in outputs:
            raise ConfigurationError(f"--output: the graph has no output {name!r}, only {_listed(outputs)}")
    read = [outputs[name] for name in named] or [
        each for name, each in outputs.items() if name not in behind and each.dtype in _FLOATS
    ]
    if not read:
        # A bare layer: its state is what it says.
        read = [after for _, after in pairs][:1]
    if not pairs:
        raise InvalidManifest(
            f"no state was found among the inputs {_listed(inputs)} and the outputs {_listed(outputs)}: a "
            "network that is served step by step takes its state as an input and gives the next one as an "
            "output; export it so, or name the pairs with --state INPUT:OUTPUT"
        )
    for tensor in (*(each for pair in pairs for each in pair), *read):
        if tensor.dtype not in _FLOATS:
            kind = helper.tensor_dtype_to_string(tensor.dtype).removeprefix("TensorProto.").lower()
            raise InvalidManifest(f"{tensor} is of {kind}; states and outputs are floating-point numbers")
    return Border(steps, tuple(pairs), tuple(read), tuple(lengths), constants)


def _tensor(info: ValueInfoProto) -> Tensor:
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type"):
        raise InvalidManifest(f"{info.name!r} is no tensor; a bundle's inputs and outputs are tensors alone")
    if not kind.HasField("shape"):
        raise InvalidManifest(
            f"the graph does not say how many axes {info.name!r} has; export it with shapes"
        )
    shape = tuple(
        each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else (each.dim_param or None)
        for each in kind.shape.dim
    )
    return Tensor(info.name, kind.elem_type, shape)


def _constants(inputs: dict[str, Tensor], options: ImportOptions) -> dict[str, NDArray[np.generic]]:
    found: dict[str, NDArray[np.generic]] = {}
    for name, value in options.set.items():
        if name not in inputs:
            raise ConfigurationError(f"--set: the graph has no input {name!r}, only {_listed(inputs)}")
        shape = tuple(size if isinstance(size, int) else 1 for size in inputs[name].shape)
        found[name] = np.full(shape, value).astype(inputs[name].numpy)
    return found


def _pairs(
    inputs: dict[str, Tensor],
    outputs: dict[str, Tensor],
    options: ImportOptions,
    say: Callable[[str], None],
) -> list[tuple[Tensor, Tensor]]:
    if options.state:
        found = []
        for text in options.state:
            before, colon, after = text.partition(":")
            if not colon or before not in inputs or after not in outputs:
                raise ConfigurationError(
                    f"--state {text!r} is not INPUT:OUTPUT of the inputs {_listed(inputs)} and the outputs "
                    f"{_listed(outputs)}"
                )
            if not _fits(inputs[before], outputs[after]):
                raise ConfigurationError(
                    f"--state {text!r}: {inputs[before]} and {outputs[after]} have not the same shape"
                )
            found.append((inputs[before], outputs[after]))
        return found
    guessed = _by_name(inputs, outputs, options) or _by_shape(inputs, outputs, options)
    for ours, theirs in guessed:
        say(f"guessed  state    {ours} comes back as {theirs}")
    return guessed


def _by_name(
    inputs: dict[str, Tensor], outputs: dict[str, Tensor], options: ImportOptions
) -> list[tuple[Tensor, Tensor]]:
    """Those whose names differ by words such as in and out alone: h0 and hn, state and stateN."""
    found = []
    for before in inputs.values():
        same = [
            after
            for after in outputs.values()
            if _core(before.name) == _core(after.name)
            and _fits(before, after)
            and before.name != options.input
        ]
        if len(same) == 1 and before.dtype in _FLOATS and same[0].name not in options.output:
            found.append((before, same[0]))
    return found


def _by_shape(
    inputs: dict[str, Tensor], outputs: dict[str, Tensor], options: ImportOptions
) -> list[tuple[Tensor, Tensor]]:
    """In their order, where all inputs but that of the steps fit the last outputs."""
    names = list(inputs)
    first = options.input or (names[0] if names else None)
    before = [tensor for name, tensor in inputs.items() if name != first]
    after = [tensor for name, tensor in outputs.items() if name not in options.output][-len(before) :]
    if before and len(before) == len(after) and all(map(_fits, before, after)):
        return list(zip(before, after, strict=True))
    return []


def _core(name: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    kept = [word.lower() for word in words if not _AFFIX.fullmatch(word.lower())]
    core = "".join(kept) or name.lower()
    return re.sub(r"^([hc])n$", r"\1", core)


def _fits(before: Tensor, after: Tensor) -> bool:
    return (
        before.dtype == after.dtype
        and len(before.shape) == len(after.shape)
        and all(
            a == b or not (isinstance(a, int) and isinstance(b, int))
            for a, b in zip(before.shape, after.shape, strict=True)
        )
    )


def _is_length(tensor: Tensor) -> bool:
    """How many steps each sequence has: ``sequence_lens`` of a recurrent operator, and the like."""
    return (
        tensor.dtype in _TOKENS
        and len(tensor.shape) == 1
        and (tensor.shape[0] == 1 or not isinstance(tensor.shape[0], int))
        and _LENGTH.search(tensor.name) is not None
    )


def _steps(
    left: list[Tensor], inputs: dict[str, Tensor], options: ImportOptions, say: Callable[[str], None]
) -> Tensor:
    if options.input is not None:
        if options.input not in inputs:
            raise ConfigurationError(
                f"--input: the graph has no input {options.input!r}, only {_listed(inputs)}"
            )
        return inputs[options.input]
    likely = [tensor for tensor in left if tensor.shape and tensor.dtype in (*_FLOATS, *_TOKENS)]
    if len(likely) != 1:
        raise ConfigurationError(
            "which input gets the steps? Name it with --input, and all states with --state; the graph has "
            f"{_listed(inputs)}"
        )
    say(f"guessed  input    {likely[0]}")
    return likely[0]


def _listed(tensors: dict[str, Tensor]) -> str:
    return ", ".join(map(str, tensors.values())) or "none"
