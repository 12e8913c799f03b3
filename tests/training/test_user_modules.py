"""Modules as people write them: which are found to be a stack of layers, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from app.bundle.reader import read_bundle
from app.core.errors import ExportError
from tests.parity.task import ParitySpec
from training.found_layers import ModuleNet
from training.recipe import UserModule
from training.recipes import RECIPES
from training.tokenizers import character_tokenizer
from training.user_module import export_module

TOKENIZER = character_tokenizer(["abcdef\n"])
VOCABULARY, SIZE = 8, 6


class Net(nn.Module):
    """Layers, and a ``forward`` that uses them."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(5)
        layers = {
            "embed": nn.Embedding(VOCABULARY, SIZE),
            "rnn": nn.LSTM(SIZE, SIZE, batch_first=True),
            "head": nn.Linear(SIZE, VOCABULARY),
        } | layers
        for name, layer in layers.items():
            setattr(self, name, layer)
        self._forward = forward

    def forward(self, tokens: Tensor, *state: Any, **named: Any) -> Any:
        """What was given."""
        return self._forward(self, tokens, *state, **named)


class WithState(Net):
    """Asks for its state, as many networks do."""

    def forward(self, tokens: Tensor, state: Any) -> Any:
        """What was given."""
        return self._forward(self, tokens, state)


class WithTwoStates(Net):
    """Asks for both of them."""

    def forward(self, tokens: Tensor, h: Any, c: Any) -> Any:
        """What was given."""
        return self._forward(self, tokens, h, c)


def plain(net: Any, tokens: Tensor) -> Any:
    """Nothing else."""
    return net.head(net.rnn(net.embed(tokens))[0])


def stacked(net: Any, tokens: Tensor) -> Any:
    """Layers of several kinds, with one dropout and one activation between all of them."""
    x = net.drop(net.act(net.norm(net.embed(tokens))))
    x = net.drop(net.act(net.rnn(x)[0]))
    return net.head(net.drop(net.act(net.above(x)[0])))


def by_cell(net: Any, tokens: Tensor) -> Any:
    """Step by step, all of it."""
    state, logits = None, []
    for step in net.embed(tokens).unbind(1):
        state = net.cell(step, state)
        logits.append(net.head(net.drop(state[0] if isinstance(state, tuple) else state)))
    return torch.stack(logits, dim=1)


def step_by_step(net: Any, tokens: Tensor) -> Any:
    """Layers that are called for each step."""
    state, logits = None, []
    for index in range(tokens.shape[1]):
        y, state = net.rnn(net.embed(tokens[:, index : index + 1]), state)
        logits.append(net.head(y))
    return torch.cat(logits, dim=1)


def learned_start(net: Any, tokens: Tensor) -> Any:
    """A sequence begins with weights."""
    h, c = (part.expand(-1, len(tokens), -1).contiguous() for part in (net.begin[:1], net.begin[1:]))
    return net.head(net.rnn(net.embed(tokens), (h, c))[0])


def packed(net: Any, tokens: Tensor) -> Any:
    """With all lengths alike."""
    lengths = torch.full((len(tokens),), tokens.shape[1])
    steps = pack_padded_sequence(net.embed(tokens), lengths, batch_first=True)
    return net.head(pad_packed_sequence(net.rnn(steps)[0], batch_first=True)[0])


def kept(net: Any, tokens: Tensor) -> Any:
    """Keeps its last state, and begins with zeros."""
    y, net.last = net.rnn(net.embed(tokens))
    return net.head(y)


def begun_by_the_input(net: Any, tokens: Tensor) -> Any:
    """As a decoder begins."""
    begin = tokens[None, :, :1].float().repeat(1, 1, SIZE)
    return net.head(net.rnn(net.embed(tokens), begin)[0])


def with_begin(net: Net) -> Net:
    """With a start that is a weight."""
    net.begin = nn.Parameter(torch.randn(2, 1, SIZE))
    return net


def transformer() -> nn.Module:
    """Attention over the sequence."""
    return nn.TransformerEncoderLayer(SIZE, 1, batch_first=True)


def rewritten() -> nn.Module:
    """A layer whose weight is made of others (Salimans & Kingma 2016)."""
    make: Any = parametrizations.weight_norm
    layer: nn.Module = make(nn.Linear(SIZE, VOCABULARY))
    return layer


def tied() -> Net:
    """One matrix for both ends."""
    net = Net(plain)
    net.head.weight = net.embed.weight  # type: ignore[union-attr]  # both are layers
    return net


TAKEN: dict[str, nn.Module] = {
    "plain": Net(plain),
    "tied": tied(),
    "kinds": Net(
        stacked,
        norm=nn.LayerNorm(SIZE),
        above=nn.GRU(SIZE, SIZE, 2, batch_first=True),
        drop=nn.Dropout(0.5),
        act=nn.Tanh(),
    ),
    "RNN cell": Net(by_cell, cell=nn.RNNCell(SIZE, SIZE), drop=nn.Dropout(0.5)),
    "LSTM cell": Net(by_cell, cell=nn.LSTMCell(SIZE, SIZE), drop=nn.Dropout(0.5)),
    "GRU cell": Net(by_cell, cell=nn.GRUCell(SIZE, SIZE), drop=nn.Dropout(0.5)),
    "step by step": Net(step_by_step),
    "learned start": with_begin(Net(learned_start)),
    "packed": Net(packed),
    "keeps its state": Net(kept),
    "state of two": WithState(lambda net, x, state: (net.head(net.rnn(net.embed(x), state)[0]), state)),
    "state unpacked": WithState(
        lambda net, x, state: net.head(net.rnn(net.embed(x), (state[0], state[1]))[0])
    ),
    "two states": WithTwoStates(lambda net, x, h, c: net.head(net.rnn(net.embed(x), (h, c))[0])),
    "state of one": WithState(
        lambda net, x, state: net.head(net.rnn(net.embed(x), state)[0]),
        rnn=nn.GRU(SIZE, SIZE, 2, batch_first=True),
    ),
    "time first": Net(plain, rnn=nn.GRU(SIZE, SIZE)),
    "rows": Net(lambda net, x: net.head(net.rnn(net.embed(x))[0].reshape(-1, SIZE))),
    "features first": Net(lambda net, x: plain(net, x).transpose(1, 2)),
    "last step": Net(lambda net, x: net.head(net.rnn(net.embed(x))[0][:, -1])),
    "last state": Net(lambda net, x: net.head(net.rnn(net.embed(x))[1][0][-1])),
    "dictionary": Net(lambda net, x: {"loss": None, "logits": plain(net, x)}),
    "unused": Net(plain, other=nn.MultiheadAttention(SIZE, 1)),
}
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "time first": lambda own: own.transpose(0, 1),
    "rows": lambda own: own.reshape(3, 24, -1),
    "features first": lambda own: own.transpose(1, 2),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_stack_is_found_however_it_is_called(name: str, tmp_path: Path) -> None:
    """The bundle gives what the module gives, and the module is as it was."""
    module = TAKEN[name]
    folder = export_module(module, task="generate", tokenizer=TOKENIZER, out=tmp_path, name="net")
    bundle = read_bundle(folder)
    assert module.training
    net: Any = ModuleNet(module)
    with torch.no_grad():
        steps = torch.from_numpy(bundle.golden.steps)
        ours = net(steps, net.start_row().expand(3, -1))[0]["logits"].numpy()
    np.testing.assert_allclose(bundle.golden.outputs["logits"], ours, atol=1e-6)
    if isinstance(module, WithState | WithTwoStates):
        return
    with torch.no_grad():
        own = module.eval()(steps.transpose(0, 1) if name == "time first" else steps)
    module.train()
    own = own["logits"] if isinstance(own, dict) else own
    form = FORMS.get(name)
    own = (own if form is None else form(own)).numpy()
    np.testing.assert_allclose(ours[:, -1] if own.ndim == 2 else ours, own, atol=1e-5)


def between(change: Callable[[Tensor], Tensor]) -> Net:
    """Something happens before the head that no layer shows."""
    return Net(lambda net, x: net.head(change(net.rnn(net.embed(x))[0])))


REFUSED: dict[str, tuple[nn.Module, tuple[str, ...]]] = {
    "a function": (between(functional.relu), ("head (Linear)", "rnn (LSTM)", "a layer of its own")),
    "a residual": (
        Net(lambda net, x: net.head(net.rnn(net.embed(x))[0] + net.embed(x))),
        ("embed (Embedding)", "rnn (LSTM)"),
    ),
    "the mean": (between(lambda y: y.mean(dim=1)), ("head (Linear)",)),
    "the future": (between(lambda y: y.flip(1)), ("head (Linear)",)),
    "after the end": (Net(lambda net, x: 2 * plain(net, x)), ("what forward returns", "head (Linear)")),
    "attention": (
        Net(
            lambda net, x: net.head(net.mix(net.rnn(net.embed(x))[0])),
            mix=nn.TransformerEncoderLayer(SIZE, 1),
        ),
        ("mix.", "export_bundle"),
    ),
    "a convolution": (
        Net(
            lambda net, x: net.head(net.conv(net.rnn(net.embed(x))[0].transpose(1, 2)).transpose(1, 2)),
            conv=nn.Conv1d(SIZE, SIZE, 3, padding=1),
        ),
        ("conv (Conv1d)", "export_bundle"),
    ),
    "both directions": (
        Net(plain, rnn=nn.GRU(SIZE, 3, bidirectional=True, batch_first=True)),
        ("rnn (GRU)", "bidirectional=True"),
    ),
    "a weight rewritten": (
        Net(plain, head=rewritten()),
        ("head.parametrizations", "none of the layers"),
    ),
    "a start of its own": (
        Net(begun_by_the_input, rnn=nn.GRU(SIZE, SIZE, batch_first=True)),
        ("rnn (GRU)", "depends on the input"),
    ),
    "a dictionary": (Net(lambda net, x: {"out": plain(net, x)}), ("dictionary of out", "logits")),
    "nothing": (Net(lambda net, x: None), ("must hold",)),
    "another layout": (
        Net(lambda net, x: net.head(net.above(net.rnn(net.embed(x))[0])[0]), above=nn.GRU(SIZE, SIZE)),
        ("above (GRU)", "batch_first=False"),
    ),
    "an error": (Net(lambda net, x: net.head(net.rnn(net.embed(x)))), ("failed at head (Linear)",)),
    "no layers": (nn.Flatten(), ("must hold", "Flatten")),
    "no recurrent one": (Net(lambda net, x: net.head(net.embed(x))), ("must hold",)),
    "probabilities": (Net(lambda net, x: net.soft(plain(net, x)), soft=nn.Softmax(-1)), ("soft (Softmax)",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_stack_is_refused_by_the_name_of_a_layer(name: str, tmp_path: Path) -> None:
    """With what to do, and without a bundle."""
    module, says = REFUSED[name]
    with pytest.raises(ExportError) as error:
        export_module(module, task="generate", tokenizer=TOKENIZER, out=tmp_path, name="net")
    assert [part for part in says if part not in error.value.message] == [], error.value.message
    assert "\n" not in error.value.message
    assert list(tmp_path.iterdir()) == []


class Numbers:
    """A recipe of a task that reads numbers, as far as a module needs it."""

    @staticmethod
    def module_spec(module: UserModule) -> ParitySpec:
        """Nothing is said of them."""
        assert (module.codec, module.columns, module.outputs) == (None, ("x", "y", "z"), VOCABULARY)
        return ParitySpec()


READINGS: Any = np.random.default_rng(0).standard_normal((3, 24, 3))


def test_a_network_of_numbers_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the readings that were given."""
    monkeypatch.setitem(RECIPES, "numbers", Numbers)
    module = Net(plain, embed=nn.Linear(3, SIZE))
    folder = export_module(
        module, task="numbers", columns=("x", "y", "z"), readings=READINGS, out=tmp_path, name="numbers"
    )
    bundle = read_bundle(folder)
    assert bundle.manifest.graph.input.shape == (3,)
    np.testing.assert_array_equal(bundle.golden.steps, READINGS.astype(np.float32))
    with torch.no_grad():
        own = module.eval()(torch.from_numpy(READINGS.astype(np.float32))).numpy()
    np.testing.assert_allclose(bundle.golden.outputs["logits"], own, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "give a tokenizer"),
        ({"tokenizer": TOKENIZER, "columns": ("x",)}, "give a tokenizer"),
        ({"columns": ("x", "y", "z")}, "give readings [batch, time, 3]"),
        (
            {"columns": ("x", "y"), "readings": READINGS},
            "they must be [batch, time, 2]",
        ),
        ({"columns": ("x", "y", "z"), "readings": READINGS * np.nan}, "NaN or infinity"),
        ({"columns": ("x", "y", "z"), "readings": READINGS}, "this task reads text"),
    ],
)
def test_what_a_network_of_numbers_lacks_is_said(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    """In one sentence."""
    module = Net(plain, embed=nn.Linear(3, SIZE))
    with pytest.raises(ExportError) as error:
        export_module(module, task="generate", out=tmp_path, name="numbers", **given)
    assert says in error.value.message
