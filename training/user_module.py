"""Serving a network of your own: an ``nn.Module`` in, a bundle out.

The documented form is what most recurrent models are:

    tokens [batch, time] -> nn.Embedding -> one or more nn.RNN | nn.LSTM | nn.GRU -> nn.Linear -> logits

The layers are found by their type, in the order the module registered them (dropout and identity
layers between them do nothing at inference). Whatever else ``forward`` does would be lost, so
its output is compared with the exported graph's, and a difference refuses the export.

    export_module(model, task=..., tokenizer=Path("tokenizer.json").read_text(), out=..., name="mine")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from app.bundle.manifest import TOKENIZER_FILE, Provenance, Quality
from app.core.errors import ExportError
from app.features.text import TextCodec
from training.cells import CELLS, RecurrentStack
from training.export import PARITY_BOUND, describe_run, export_bundle
from training.recipe import TokenModule
from training.recipes import RECIPES
from training.token_net import TokenNet

_PASSIVE = (nn.Dropout, nn.Identity)


def export_module(
    module: nn.Module,
    *,
    task: str,
    tokenizer: str,
    out: Path,
    name: str,
    version: str = "1",
    description: str = "",
    labels: Sequence[str] = (),
    start_token: int | None = None,
    end_token: int | None = None,
    provenance: Provenance | None = None,
    quality: Sequence[Quality] = (),
    card_notes: str = "",
) -> Path:
    """Export a module of the documented form to a bundle that the server can run.

    Args:
        module: embedding, recurrent layers (one kind, one direction, no projection), linear head.
            ``forward(tokens)`` must return logits ``[batch, time, outputs]`` or, of the last step,
            ``[batch, outputs]``; alone or as the first element of a tuple. The state starts at zero.
        task: what the logits mean: the name of a task whose networks read tokens.
        tokenizer: JSON text of a tokenizer of the ``tokenizers`` library.
        out: the models folder.
        name: of the bundle.
        version: of the bundle.
        description: one sentence for people choosing a model.
        labels: names of the logits, in their order, for a task that labels.
        start_token: fed when a prompt is empty, for a task that writes; the newline's id when left out.
        end_token: ends a text when it is produced, for a task that writes.
        provenance: where the weights come from; by default only when and with which packages.
        quality: measured figures.
        card_notes: Markdown for the model card.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: the module is not of the documented form, or computes something else than
            its layers in this order.
        BundleError: the tokenizer cannot be read, or the folder cannot be written.
    """
    module = module.eval().cpu()
    net = ModuleNet(module)
    codec = TextCodec(tokenizer)
    vocabulary = net.embedding.num_embeddings
    if codec.size > vocabulary:
        raise ExportError(f"the tokenizer has {codec.size} tokens, but the embedding only {vocabulary} rows")
    if task not in RECIPES:
        raise ExportError(f"there is no task {task!r}; known: {', '.join(RECIPES)}")
    spec = RECIPES[task].module_spec(
        TokenModule(codec, vocabulary, net.head.out_features, tuple(labels), start_token, end_token)
    )
    _check_forward(module, net, vocabulary)
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description=description or f"Exported from {type(module).__name__}.",
        spec=spec,
        provenance=provenance or describe_run("training.user_module.export_module", seed=0),
        quality=quality,
        files={TOKENIZER_FILE: tokenizer.encode()},
        card_notes=card_notes,
    )


class ModuleNet(TokenNet):
    """The layers of a user's module as a network of the exportable form.

    Args:
        module: of the documented form.

    Raises:
        ExportError: it is not; says what was found.
    """

    def __init__(self, module: nn.Module) -> None:
        leaves = [layer for layer in module.modules() if not list(layer.children())]
        embeddings = [layer for layer in leaves if isinstance(layer, nn.Embedding)]
        recurrent = [layer for layer in leaves if type(layer) in CELLS]
        heads = [layer for layer in leaves if isinstance(layer, nn.Linear)]
        known = [*embeddings, *recurrent, *heads]
        others = [layer for layer in leaves if layer not in known and not isinstance(layer, _PASSIVE)]
        if len(embeddings) != 1 or not recurrent or len(heads) != 1 or others:
            found = ", ".join(type(layer).__name__ for layer in leaves) or "no layers"
            raise ExportError(
                "the module must hold one nn.Embedding, one or more of nn.RNN, nn.LSTM or nn.GRU, and one "
                f"nn.Linear, and besides them only dropout; found {found}"
            )
        stack = RecurrentStack.of([cast(nn.RNNBase, layer) for layer in recurrent])
        super().__init__(embeddings[0], stack, heads[0])


def _check_forward(module: nn.Module, net: ModuleNet, vocabulary: int) -> None:
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, vocabulary, (2, 9)))
    with torch.no_grad():
        try:
            own = module(tokens)
        except Exception as error:
            raise ExportError(f"forward(tokens [batch, time]) failed: {error}") from error
        logits = own[0] if isinstance(own, tuple) else own
        ours = net(tokens, net.start_row()[None].repeat(2, 1))[0]["logits"]
    ours = ours[:, -1] if logits.dim() == 2 else ours
    if logits.shape != ours.shape:
        raise ExportError(f"forward returned logits {list(logits.shape)}, expected {list(ours.shape)}")
    if not torch.allclose(logits, ours, atol=PARITY_BOUND, rtol=PARITY_BOUND):
        raise ExportError(
            "forward computes something else than embedding, recurrent layers and linear head in this order"
        )
