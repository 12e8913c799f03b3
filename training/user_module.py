"""Serving a network of your own: an ``nn.Module`` in, a bundle out.

Any stack of the layers in ``training.layers`` and ``training.cells``, one behind the other:

    tokens [batch, time] -> nn.Embedding -> ... -> nn.RNN | nn.LSTM | nn.GRU, or their cells -> ... -> logits

The layers are found by running the module, in the order in which it calls them. What reaches each of them,
and what the module returns, is compared with what the layers alone compute: whatever else ``forward`` does
would be lost, so it refuses the export, by the name of the first layer that it touches.

    export_module(model, task=..., tokenizer=Path("tokenizer.json").read_text(), out=..., name="mine")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from torch import nn

from app.bundle.manifest import TOKENIZER_FILE, Provenance, Quality
from app.core.errors import ExportError
from app.features.text import TextCodec
from training.export import check_names, describe_run, export_bundle, sentence_of
from training.found_layers import ModuleNet
from training.recipe import TokenModule
from training.recipes import RECIPES


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
    """Export a module of the documented form to a bundle that the server can run; it is left as it is.

    Args:
        module: embedding, recurrent layers or cells (one direction, no projection), and around them linear
            layers, norms, activations and dropout. ``forward(tokens)`` must return logits ``[batch, time,
            outputs]`` or, of the last step, ``[batch, outputs]``; alone, first of a tuple, or as ``logits``
            of a dictionary. It may take its state behind the tokens. A sequence begins with the state that
            the module itself begins with.
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
            its layers in this order, or an argument does not fit it.
        BundleError: the tokenizer cannot be read, or the folder cannot be written.
    """
    check_names(name, version)
    if task not in RECIPES:
        raise ExportError(f"there is no task {task!r}; known: {', '.join(RECIPES)}")
    codec = TextCodec(tokenizer)
    rows = max(
        (each.num_embeddings for each in module.modules() if isinstance(each, nn.Embedding)), default=0
    )
    if 0 < rows < codec.size:
        raise ExportError(f"the tokenizer has {codec.size} tokens, but the embedding only {rows} rows")
    net = ModuleNet(module)
    try:
        spec = RECIPES[task].module_spec(
            TokenModule(codec, net.vocabulary, net.outputs, tuple(labels), start_token, end_token)
        )
    except ValidationError as error:
        raise ExportError(sentence_of(error)) from error
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
