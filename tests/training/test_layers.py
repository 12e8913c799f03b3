"""Every option of every layer that can be exported is taken as PyTorch takes it, or refused by name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.bundle.reader import read_bundle
from app.core.errors import ExportError
from app.registered import TASKS
from app.registry.verification import verify
from app.tasks.task import Tasks
from training.cells import CELLS
from training.layers import LAYERS
from training.tokenizers import character_tokenizer
from training.user_module import export_module

TOKENIZER = character_tokenizer(["abcdef\n"])
# No multiple of a vector register's numbers.
VOCABULARY, SIZE = 8, 13


class Refused(str):
    """What the message says, besides the layer's path."""


_PLACE = {"device": ["cpu", (torch.device("meta"), Refused("meta"))]}
_KIND = {
    "dtype": [
        torch.float32,
        (torch.float64, Refused("float64")),
        (torch.bfloat16, Refused("bfloat16")),
        (torch.float16, Refused("float16")),
    ]
}
_WEIGHTS: dict[str, list[Any]] = {**_PLACE, **_KIND}
_LAYERS: dict[str, list[Any]] = {
    "num_layers": [2, 3],
    "bias": [False],
    "batch_first": [False],
    "dropout": [0.5],
    "bidirectional": [(True, Refused("bidirectional=True"))],
    **_WEIGHTS,
}
_PROBABILITY: dict[str, list[Any]] = {"p": [0.0, 0.9], "inplace": [True]}
_RANGE: dict[str, list[Any]] = {"min_val": [-0.2], "max_val": [0.3], "inplace": [True]}

# The values of each option that differ from the default; with what is refused, a word of the reason.
OPTIONS: dict[type[nn.Module], dict[str, list[Any]]] = {
    nn.Embedding: {
        "padding_idx": [0, 3],
        "max_norm": [0.5, 1.5],
        "norm_type": [1.0, 3.0],
        "scale_grad_by_freq": [True],
        "sparse": [True],
        "_weight": [torch.linspace(-1, 1, VOCABULARY * SIZE).reshape(VOCABULARY, SIZE)],
        "_freeze": [True],
        **_WEIGHTS,
    },
    nn.RNN: {"nonlinearity": ["relu"], **_LAYERS, "proj_size": []},
    nn.LSTM: {**_LAYERS, "proj_size": [(3, Refused("proj_size=3"))]},
    nn.GRU: {**_LAYERS, "proj_size": []},
    nn.RNNCell: {"bias": [False], "nonlinearity": ["relu"], **_WEIGHTS},
    nn.LSTMCell: {"bias": [False], **_WEIGHTS},
    nn.GRUCell: {"bias": [False], **_WEIGHTS},
    nn.Linear: {"bias": [False], **_WEIGHTS},
    nn.Dropout: _PROBABILITY,
    nn.Dropout1d: _PROBABILITY,
    nn.AlphaDropout: _PROBABILITY,
    nn.FeatureAlphaDropout: _PROBABILITY,
    nn.Identity: {},
    nn.LayerNorm: {
        "eps": [1e-2],
        "elementwise_affine": [False],
        "bias": [False],
        "normalized_shape": [[SIZE], ((9, SIZE), Refused("normalized_shape"))],
        **_WEIGHTS,
    },
    nn.RMSNorm: {
        "eps": [1e-2],
        "elementwise_affine": [False],
        "normalized_shape": [[SIZE], ((9, SIZE), Refused("normalized_shape"))],
        **_WEIGHTS,
    },
    nn.BatchNorm1d: {
        "eps": [1e-2],
        "momentum": [None, 0.5],
        "affine": [False],
        "bias": [False],
        "track_running_stats": [(False, Refused("track_running_stats=False"))],
        **_WEIGHTS,
    },
    nn.ReLU: {"inplace": [True]},
    nn.ReLU6: {"inplace": [True]},
    nn.Hardtanh: _RANGE,
    nn.LeakyReLU: {"negative_slope": [0.3], "inplace": [True]},
    nn.ELU: {"alpha": [0.4], "inplace": [True]},
    nn.PReLU: {"num_parameters": [SIZE], "init": [0.7], **_WEIGHTS},
    nn.Tanh: {},
    nn.Sigmoid: {},
    nn.SiLU: {"inplace": [True]},
    nn.GELU: {"approximate": ["tanh"]},
    nn.Softsign: {},
    nn.Threshold: {"inplace": [True]},
    nn.Hardsigmoid: {"inplace": [True]},
    nn.Hardswish: {"inplace": [True]},
    nn.LogSoftmax: {"dim": [2, (None, Refused("dim=None")), (1, Refused("gives"))]},
    nn.Softmax: {"dim": [(-1, Refused("probabilities")), (None, Refused("probabilities"))]},
}
# What must be given, so that it is in every case.
SIZES: dict[type[nn.Module], dict[str, Any]] = {
    nn.Embedding: {"num_embeddings": VOCABULARY, "embedding_dim": SIZE},
    nn.Linear: {"in_features": SIZE, "out_features": SIZE},
    nn.LayerNorm: {"normalized_shape": SIZE},
    nn.RMSNorm: {"normalized_shape": SIZE},
    nn.BatchNorm1d: {"num_features": SIZE},
    nn.Threshold: {"threshold": 0.1, "value": 0.4},
    nn.LogSoftmax: {"dim": -1},
    nn.Softmax: {"dim": -1},
    **{kind: {"input_size": SIZE, "hidden_size": SIZE} for kind in CELLS},
}


class Chain(nn.Module):
    """Embedding, recurrent layer, the tested one, head; the tested one may stand for any of the first two."""

    def __init__(self, tested: nn.Module) -> None:
        super().__init__()
        self.tested = tested
        self.embed = nn.Identity() if isinstance(tested, nn.Embedding) else nn.Embedding(VOCABULARY, SIZE)
        self.rnn = nn.Identity() if type(tested) in CELLS else nn.GRU(SIZE, SIZE, batch_first=True)
        self.head = nn.Linear(SIZE, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of each step."""
        if isinstance(self.tested, nn.Embedding):
            x = self.rnn(self.tested(tokens))[0]
        elif type(self.tested) in CELLS:
            x = self.recur(self.embed(tokens))
        else:
            x = self.along(self.rnn(self.embed(tokens))[0])
        logits: Tensor = self.head(x)
        return logits

    def recur(self, x: Tensor) -> Tensor:
        """Through layers in the layout they take, or step by step through a cell."""
        if isinstance(self.tested, nn.RNNBase):
            found: Tensor = self.tested(x if self.tested.batch_first else x.transpose(0, 1))[0]
            return found if self.tested.batch_first else found.transpose(0, 1)
        state, outputs = None, []
        for step in x.unbind(1):
            state = self.tested(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, dim=1)

    def along(self, x: Tensor) -> Tensor:
        """Through a layer, in the layout it takes."""
        if isinstance(self.tested, nn.BatchNorm1d | nn.PReLU):
            x = self.tested(x.transpose(1, 2)).transpose(1, 2)
        else:
            x = self.tested(x)
        return x


def build(kind: type[nn.Module], **options: Any) -> Chain:
    """With weights, and means and variances, that nothing begins with."""
    torch.manual_seed(3)
    arguments = {**SIZES.get(kind, {}), **options}
    if issubclass(kind, nn.RNNBase):
        arguments = {"batch_first": True, **arguments}
    chain = Chain(kind(**arguments))
    with torch.no_grad():
        for name, value in chain.tested.named_buffers():
            if name in ("running_mean", "running_var"):
                value.uniform_(0.5, 2.0)
        for value in chain.tested.parameters():
            if not value.is_meta:
                value.add_(torch.rand_like(value) * 0.5)
    return chain


CASES = [
    pytest.param(kind, option, value, id=f"{kind.__name__}-{option}-{index}")
    for kind, options in OPTIONS.items()
    for option, values in ({"": [None]} | options).items()
    for index, value in enumerate(values)
]


def options_of(kind: type[nn.Module]) -> set[str]:
    """The names of the constructor's parameters, of this version of PyTorch."""
    base: Any = nn.RNNBase if issubclass(kind, nn.RNNBase) else kind
    names = set(inspect.signature(base.__init__).parameters)
    if kind is nn.RNN:
        names |= {"nonlinearity"}
    return names - {"self", "mode", "args", "kwargs", "min_value", "max_value"}


@pytest.mark.parametrize("kind", [*LAYERS, *CELLS], ids=lambda kind: kind.__name__)
def test_every_option_is_in_the_table(kind: type[nn.Module]) -> None:
    """A further layer, or a further option of a later PyTorch, fails here until somebody has looked at it."""
    assert set(OPTIONS[kind]) | set(SIZES.get(kind, {})) == options_of(kind)


@pytest.mark.parametrize(("kind", "option", "value"), CASES)
def test_an_option_is_taken_or_refused_by_name(
    kind: type[nn.Module], option: str, value: Any, tmp_path: Path
) -> None:
    """The bundle gives what PyTorch gives, with bits that depend on no cut; or the sentence names both."""
    says = None
    if isinstance(value, tuple) and isinstance(value[-1], Refused):
        value, says = value
    # Some options need another.
    needed: dict[str, dict[str, Any]] = {"norm_type": {"max_norm": 0.6}, "dropout": {"num_layers": 2}}
    more = needed.get(option, {})
    module = build(kind, **({option: value} if option else {}), **more)
    if says is None and kind is not nn.Softmax:
        folder = export_module(module, task="generate", tokenizer=TOKENIZER, out=tmp_path, name="net")
        bundle = read_bundle(folder)
        with torch.no_grad():
            own = module.eval()(torch.from_numpy(bundle.golden.steps)).numpy()
        np.testing.assert_allclose(bundle.golden.outputs["logits"], own, atol=2e-6)
        *_, bits = verify(folder, Tasks(TASKS))
        assert (bits.verdict, bits.subject) == ("ok", "bits")
    else:
        with pytest.raises(ExportError) as error:
            export_module(module, task="generate", tokenizer=TOKENIZER, out=tmp_path, name="net")
        assert "tested" in error.value.message
        assert (says or "probabilities") in error.value.message
        assert list(tmp_path.iterdir()) == []
