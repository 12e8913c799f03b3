"""Which layers a module passes its steps through, found by running it; see ``training.user_module``."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.utils.hooks import RemovableHandle

from app.core.errors import ExportError
from training.cells import CELLS
from training.export import PARITY_BOUND
from training.exportable import check_weights
from training.layer_stack import LayerStack, refused_options, row_width, run_recurrent
from training.layers import LAYERS

_BATCH, _STEPS = 5, 9
_INSTEAD = "put it into a layer of its own, or use export_bundle, and write in emit what else it does"


@dataclass(slots=True)
class _Called:
    """A layer in its place among the others: what it got, its states and what it gave, of each call."""

    path: str
    layer: nn.Module
    inputs: list[Any] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.path or 'the module'} ({type(self.layer).__name__})"

    def places(self) -> list[_Called]:
        """A layer that is called for each step, once or several times, and one that others share."""
        count = len(self.inputs)
        rounds = count // _STEPS if count % _STEPS == 0 and all(map(_is_step, self.inputs)) else count
        return [
            _Called(
                self.path,
                self.layer,
                *(each[place::rounds] for each in (self.inputs, self.states, self.outputs)),
            )
            for place in range(rounds)
        ]


def _is_step(given: Any) -> bool:
    """Whether this is one step of each sequence: a token, or its features."""
    return (
        isinstance(given, Tensor)
        and (given.shape[:-1].numel() if given.is_floating_point() else given.numel()) == _BATCH
    )


class ModuleNet(LayerStack):
    """The layers of a user's module as a network of the exportable form.

    Args:
        module: of the documented form; it is copied.
        features: of a step, if it is no token.
        output: name of what the last layer gives.

    Raises:
        ExportError: it is of another form; names the layer, and says what to do.
    """

    def __init__(self, module: nn.Module, features: int = 0, output: str = "logits") -> None:
        module = getattr(module, "_orig_mod", module)  # of torch.compile
        check_weights(module)
        found = _find(module, features)
        super().__init__([each.layer for each in found.called], found.starts, features, output)
        self.eval()
        self.outputs = found.outputs
        self.vocabulary = 0
        first = self.layers[0]
        if isinstance(first, nn.Embedding):
            self.vocabulary = first.num_embeddings


@dataclass(frozen=True, slots=True)
class _Found:
    """Layers in the order of their calls, the states that sequences begin with, and the size of the last."""

    called: list[_Called]
    starts: list[Tensor]
    outputs: int


def _find(module: nn.Module, features: int) -> _Found:
    steps = _steps(module, features)
    try:
        return _follow(steps, *_run(module, steps))
    except ExportError:
        if not any(isinstance(layer, nn.RNNBase) and not layer.batch_first for layer in module.modules()):
            raise
        try:
            # Its own layout: [time, batch].
            return _follow(steps, *_run(module, steps.transpose(0, 1)))
        except ExportError:
            pass
        raise


def _steps(module: nn.Module, features: int) -> Tensor:
    random = np.random.default_rng(0)
    if features:
        return torch.from_numpy(random.standard_normal((_BATCH, _STEPS, features)).astype(np.float32))
    for layer in module.modules():
        if isinstance(layer, nn.Embedding):
            return torch.from_numpy(random.integers(0, layer.num_embeddings, (_BATCH, _STEPS)))
    raise ExportError(_must_hold(module.modules()))


def _must_hold(layers: Iterable[nn.Module]) -> str:
    found = ", ".join(type(layer).__name__ for layer in layers if not list(layer.children()))
    return (
        "the module must hold an nn.Embedding, and one or more of nn.RNN, nn.LSTM, nn.GRU or their cells; "
        f"found {found or 'no layers'}"
    )


def _follow(steps: Tensor, called: list[_Called], output: Any) -> _Found:
    """Compare what each layer got and gave with what the layers compute one behind the other."""
    for each in called:
        _check_layer(each)
    if not any(type(each.layer) in CELLS for each in called):
        raise ExportError(_must_hold(each.layer for each in called))
    starts: list[Tensor] = []
    x, before = steps, "the steps as they came in"
    with torch.no_grad():
        for each in called:
            _compare(each.inputs, x, f"what reaches {each.name} is not {before}")
            if type(each.layer) in CELLS:
                starts.append(_start(each))
                x, _ = run_recurrent(each.layer, x, starts[-1].expand(_BATCH, -1))
            else:
                x = LAYERS[type(each.layer)].run(each.layer, x)
            before = f"what {each.name} gives"
            _compare(each.outputs, x, f"{before} is not what it gives for {_along(each.layer)}")
    _compare([_logits(output)], x, f"what forward returns is not {before}")
    return _Found(called, starts, x.shape[-1])


def _along(layer: nn.Module) -> str:
    time_first = isinstance(layer, nn.RNNBase) and not layer.batch_first
    return (
        "its sequences (batch_first=False takes time for the first axis)" if time_first else "its sequences"
    )


def _check_layer(called: _Called) -> None:
    kind = type(called.layer)
    if kind not in LAYERS and kind not in CELLS:
        known = ", ".join(sorted(each.__name__ for each in (*LAYERS, *CELLS)))
        raise ExportError(f"{called.name} is none of the layers that can be exported: {known}; {_INSTEAD}")
    refused = refused_options(called.layer)
    if refused is not None:
        raise ExportError(f"{called.name}: {refused}")


def _run(module: nn.Module, steps: Tensor) -> tuple[list[_Called], Any]:
    """The layers that a call passes, in order, and what it returns. The module itself stays as it is."""
    try:
        module = copy.deepcopy(module).eval().cpu()
    except (RuntimeError, TypeError) as error:
        raise ExportError(
            f"the module cannot be copied; detach the tensors that it keeps: {error}"
        ) from error
    leaves = [_Called(path, layer) for path, layer in module.named_modules() if not list(layer.children())]
    order: list[_Called] = []
    hooks = [handle for leaf in leaves for handle in _watch(leaf, order)]
    failed: Exception | None = None
    try:
        with torch.no_grad():
            for arguments in _arguments(module, steps):
                order.clear()
                for leaf in leaves:
                    leaf.inputs, leaf.states, leaf.outputs = [], [], []
                try:
                    output = module(*arguments)
                except Exception as error:  # whatever the user's code raises
                    failed = error
                else:
                    return _in_places(order), output
    finally:
        for hook in hooks:
            hook.remove()
    for leaf in leaves:
        _check_layer(leaf)
    at = f" at {order[-1].name}" if order else ""
    raise ExportError(f"forward(steps [batch, time]) failed{at}: {failed}") from failed


def _in_places(order: list[_Called]) -> list[_Called]:
    """From the leaves in the order of all their calls."""
    waiting = {id(leaf): leaf.places() for leaf in order}
    return [places.pop(0) for leaf in order if (places := waiting[id(leaf)])]


def _watch(leaf: _Called, order: list[_Called]) -> Iterator[RemovableHandle]:
    def before(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        first, *more = (*given, *named.values())
        order.append(leaf)
        # A later layer may write into what this one got.
        leaf.inputs.append(_copied(first))
        leaf.states.append(more[0] if more else None)

    def after(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        recurrent = isinstance(layer, nn.RNNBase | nn.LSTMCell)
        leaf.outputs.append(_copied(output[0] if recurrent else output))

    yield leaf.layer.register_forward_pre_hook(before, with_kwargs=True)
    yield leaf.layer.register_forward_hook(after)


def _copied(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return pad_packed_sequence(value, batch_first=True)[0]
    return value.clone() if isinstance(value, Tensor) else value


def _arguments(module: nn.Module, steps: Tensor) -> Iterator[tuple[Any, ...]]:
    """The steps; and a state at rest in the usual forms, where ``forward`` asks for one."""
    parameters = inspect.signature(module.forward).parameters.values()
    asked = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if sum(each.default is each.empty for each in asked) <= 1:
        yield (steps,)
        return
    yield (steps, None)
    for layer in module.modules():
        if type(layer) in CELLS:
            rest = torch.zeros(_BATCH, cast(int, layer.hidden_size))
            if isinstance(layer, nn.RNNBase):
                rest = rest.repeat(layer.num_layers, 1, 1)
            yield (steps, rest)
            yield (steps, (rest, rest))
            yield (steps, rest, rest)
            return


def _start(called: _Called) -> Tensor:
    """The row of the state that a layer began with."""
    state = called.states[0]
    if state is None:
        return torch.zeros(row_width(called.layer))
    parts = torch.stack(list(state) if isinstance(state, tuple | list) else [state])
    # [parts, layers, batch, hidden] to [batch, layers, parts, hidden]
    rows = (parts if parts.dim() == 4 else parts[:, None]).permute(2, 1, 0, 3).flatten(1)
    if not torch.equal(rows, rows[:1].expand_as(rows)):
        raise ExportError(f"{called.name} begins with a state that depends on the input; {_INSTEAD}")
    return rows[0].clone()


def _logits(output: Any) -> Any:
    if isinstance(output, tuple | list) and output:
        return output[0]
    if isinstance(output, Mapping):
        if "logits" not in output:
            keys = ", ".join(map(str, output))
            raise ExportError(f"forward returned a dictionary of {keys}; call what is to be served logits")
        return output["logits"]
    return output


def _compare(given: Sequence[Any], x: Tensor, difference: str) -> None:
    """Raise ExportError unless all calls together had ``x``, in any layout of batch, time and features."""
    if not all(isinstance(each, Tensor) for each in given):
        kinds = ", ".join(sorted({type(each).__name__ for each in given}))
        raise ExportError(f"{difference}: it is {kinds}, no tensor; {_INSTEAD}")
    if len(given) == 1:
        (found,) = given
    elif len(given) == _STEPS and given[0].dim() == x.dim():
        found = torch.cat([*given], dim=1 if given[0].shape[0] == _BATCH else 0)
    elif len(given) == _STEPS:
        found = torch.stack([*given], dim=1)
    else:
        raise ExportError(f"{difference}: there are {len(given)} calls for {_STEPS} steps; {_INSTEAD}")
    for layout in _layouts(x):
        if found.shape == layout.shape and torch.allclose(
            found, layout, atol=PARITY_BOUND, rtol=PARITY_BOUND
        ):
            return
    raise ExportError(f"{difference}: forward computes something else besides; {_INSTEAD}")


def _layouts(x: Tensor) -> Iterator[Tensor]:
    """Whole, by rows, or of the last step; with time before batch, or features before time."""
    by_time = x.transpose(0, 1)
    yield from (x, by_time, x.flatten(0, 1), by_time.flatten(0, 1))
    if x.dim() == 3:
        yield from (x.transpose(1, 2), x[:, -1], x[:, -1:], by_time[-1:])
        if x.shape[2] == 1:
            yield from (x[:, :, 0], x[:, -1, 0])
