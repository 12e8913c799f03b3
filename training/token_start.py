"""A network over tokens that training starts from, as its bundle's graph holds it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from app.bundle.manifest import CARD_FILE
from app.bundle.reader import read_bundle
from app.core.errors import TrainingError
from app.features.text import TextCodec
from training.cells import CELLS, Cell, set_weights
from training.start import find_start
from training.token_net import TokenNet

_ORIGIN = "Training went on from "
_OPERATORS = {cell.upper(): cell for cell in CELLS.values()}
# Of the golden outputs; a bundle of ours differs from PyTorch by some 1e-7.
_TOLERANCE = 1e-3
_SOME_UNKNOWN, _MOST_UNKNOWN = 0.01, 0.5


class TokenStart:
    """Tokenizer, shape and weights of a bundle that :class:`training.token_net.TokenNet` wrote.

    Args:
        reference: ``name@version`` or ``name``, of which the newest version is taken.
        task: of the bundle.
        models: the folder where it is.

    Attributes:
        bundle: as it was read.
        tokenizer: its JSON.
        vocabulary: number of its tokens.
        shape: what the bundle decides of a network, by the names of the settings.

    Raises:
        TrainingError: there is no such bundle, or its network is of another form.
    """

    def __init__(self, reference: str, task: str, models: Path) -> None:
        folder, manifest = find_start(reference, task, models)
        self.reference, self.bundle = manifest.reference, read_bundle(folder)
        self._card = (folder / CARD_FILE).read_text(encoding="utf-8")
        if self.bundle.tokenizer is None:
            raise self._another_form()
        self.tokenizer = self.bundle.tokenizer
        try:
            self.shape = self._read(onnx.load_from_string(self.bundle.graph).graph)
        except (KeyError, ValueError) as error:
            raise self._another_form() from error
        self.vocabulary = len(self._embedding)

    def _read(self, graph: onnx.GraphProto) -> dict[str, Any]:
        """Find the weights; returns the shape, raises KeyError or ValueError for another form."""
        weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        (embedding,) = [
            node.input[0] for node in graph.node if node.op_type == "Gather" and "tokens" in node.input
        ]
        ((head, bias),) = [
            (product.input[1], added.input[1])
            for product in graph.node
            for added in graph.node
            if product.op_type == "MatMul" and added.op_type == "Add" and added.input[0] == product.output[0]
        ]
        operator, *others = [node for node in graph.node if node.op_type in _OPERATORS]
        self._layers = [[weights[name] for name in node.input[1:4]] for node in (operator, *others)]
        tied = embedding == head
        self._embedding = weights[embedding].T if tied else weights[embedding]
        self._head, self._bias = weights[head].T, weights[bias]
        activations = [word.decode() for each in operator.attribute for word in each.strings]
        return {
            "cell": _OPERATORS[operator.op_type],
            "nonlinearity": "relu" if "Relu" in activations else "tanh",
            "layers": len(self._layers),
            "hidden": self.bundle.manifest.network.hidden,
            "embedding": self._embedding.shape[1],
            "tied": tied,
        }

    @property
    def origin(self) -> str:
        """What a card says of it, and of what it went on from itself."""
        command = self.bundle.manifest.provenance.command
        before = [line for line in self._card.splitlines() if line.startswith(_ORIGIN)]
        return "\n\n".join([f"{_ORIGIN}{self.reference}, which this made: `{command}`", *before])

    def doubt(self, codec: TextCodec, texts: Iterable[Sequence[int] | NDArray[np.int64]]) -> None:
        """Say how many tokens of texts its tokenizer does not know; raises TrainingError for most of them."""
        tokens = np.concatenate([np.asarray(text, np.int64) for text in texts])
        unknown = float(np.mean(tokens == codec.replacing))
        said = f"{unknown:.0%} of the text's tokens are unknown to {self.reference}"
        if unknown > _MOST_UNKNOWN:
            raise TrainingError(f"{said}, which training starts from; leave out --from to begin anew")
        if unknown > _SOME_UNKNOWN:
            print(said, file=sys.stderr)

    def give(self, net: TokenNet) -> None:
        """Set the weights of a network of this shape.

        Raises:
            TrainingError: the bundle's graph is of another form, since its recorded outputs are others.
        """
        cell = cast("Cell", self.shape["cell"])
        try:
            with torch.no_grad():
                net.embedding.weight.copy_(torch.tensor(self._embedding))
                net.head.weight.copy_(torch.tensor(self._head))
                net.head.bias.copy_(torch.tensor(self._bias))
                net.recurrent.start.copy_(torch.tensor(self.bundle.start[: net.recurrent.size]))
                for layer, (inputs, hiddens, bias) in enumerate(self._layers):
                    set_weights(net.recurrent.layers, f"_l{layer}", cell, inputs, hiddens, bias)
                self._check(net)
        except (ValueError, RuntimeError) as error:
            raise self._another_form() from error

    def _check(self, net: TokenNet) -> None:
        golden, training = self.bundle.golden, net.training
        steps = torch.from_numpy(golden.steps.astype(np.int64))
        outputs, _ = net.eval()(steps, net.start_row().expand(len(steps), -1))
        net.train(training)
        for name, expected in golden.outputs.items():
            if not np.allclose(outputs[name].numpy(), expected, rtol=_TOLERANCE, atol=_TOLERANCE):
                raise self._another_form()

    def _another_form(self) -> TrainingError:
        return TrainingError(
            f"{self.reference} cannot be trained further: its network is not an embedding, recurrent layers "
            "and one linear head; start from a bundle that rnnserve-train made"
        )
