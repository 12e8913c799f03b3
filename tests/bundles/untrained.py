"""What all networks of the tests have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from app.bundle.manifest import TOKENIZER_FILE, Spec
from training.cells import Cell
from training.export import describe_run, export_bundle

CELLS: tuple[Cell, ...] = ("rnn", "lstm", "gru")


def unsettle(net: torch.nn.Module) -> None:
    """Larger weights than at the start of a training, so that states move and starts differ."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)


def exported(
    net: Any,
    out: Path,
    name: str,
    version: str,
    description: str,
    spec: Spec,
    seed: int,
    tokenizer: Any = None,
    **golden: Any,
) -> Path:
    """The folder of its bundle; ``golden``: what else :func:`training.export.export_bundle` takes."""
    return export_bundle(
        net,
        out=out,
        name=name,
        version=version,
        description=description,
        spec=spec,
        provenance=describe_run("tests", seed),
        files={} if tokenizer is None else {TOKENIZER_FILE: tokenizer.encode()},
        **golden,
    )
