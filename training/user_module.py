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

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from app.bundle.manifest import TOKENIZER_FILE, Provenance, Quality
from app.core.errors import ExportError
from app.features.text import TextCodec
from training.export import check_names, describe_run, export_bundle, sentence_of
from training.found_layers import ModuleNet
from training.recipe import UserModule
from training.recipes import RECIPES


def export_module(
    module: nn.Module,
    *,
    task: str,
    tokenizer: str | None = None,
    columns: Sequence[str] = (),
    readings: NDArray[np.floating] | None = None,
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
            the module itself begins with. A network of numbers has no embedding, and takes ``[batch, time,
            columns]``.
        task: what the logits mean: the name of a task.
        tokenizer: JSON text of a tokenizer of the ``tokenizers`` library, for a network of tokens.
        columns: names of the numbers of a step, for a network of numbers.
        readings: ``[batch, time, columns]`` of them, as they come; the bundle keeps them, with the outputs.
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
    if (tokenizer is None) == (not columns):
        raise ExportError(
            "give a tokenizer for a network of tokens, or columns and readings for one of numbers"
        )
    codec = None if tokenizer is None else TextCodec(tokenizer)
    if codec is not None:
        _check_rows(module, codec)
    steps = None if codec is not None else _checked_readings(readings, columns)
    net = ModuleNet(module, features=len(columns))
    try:
        spec = RECIPES[task].module_spec(
            UserModule(
                codec, net.vocabulary, net.outputs, tuple(columns), tuple(labels), start_token, end_token
            )
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
        files={} if tokenizer is None else {TOKENIZER_FILE: tokenizer.encode()},
        golden_steps=steps,
        card_notes=card_notes,
    )


def _check_rows(module: nn.Module, codec: TextCodec) -> None:
    embeddings = [each for each in module.modules() if isinstance(each, nn.Embedding)]
    rows = max((each.num_embeddings for each in embeddings), default=codec.size)
    if rows < codec.size:
        raise ExportError(f"the tokenizer has {codec.size} tokens, but the embedding only {rows} rows")


def _checked_readings(readings: NDArray[np.floating] | None, columns: Sequence[str]) -> NDArray[np.float32]:
    shape = f"[batch, time, {len(columns)}]"
    if readings is None:
        raise ExportError(f"give readings {shape}, some of the data: random numbers prove nothing")
    steps = np.asarray(readings, np.float32)
    if steps.ndim != 3 or steps.shape[2] != len(columns) or 0 in steps.shape:
        raise ExportError(f"readings are {list(steps.shape)}; they must be {shape}, for {', '.join(columns)}")
    if not np.isfinite(steps).all():
        raise ExportError("readings hold NaN or infinity; a network of layers has no way to read them")
    return steps
