"""An untrained recurrent network as a bundle: for speed, weights do not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from app.bundle.manifest import TOKENIZER_FILE
from app.features.text import TextCodec
from app.tasks.generate.spec import GenerateSpec
from training.export import describe_run, export_bundle
from training.generate.net import LanguageModel
from training.token_net import TokenNetConfig
from training.tokenizers import character_tokenizer

NAME = "lstm256"
CHARACTERS = "".join(chr(code) for code in range(32, 95)) + "\n"


def write_bundle(
    models: Path,
    hidden: int = 256,
    layers: int = 2,
    cell: Literal["lstm", "gru"] = "lstm",
    name: str = NAME,
) -> Path:
    """Export the network to ``models`` and return the bundle's folder."""
    torch.manual_seed(0)
    tokenizer = character_tokenizer([CHARACTERS])
    vocabulary = TextCodec(tokenizer).size
    net = LanguageModel(TokenNetConfig(vocabulary, cell=cell, hidden=hidden, layers=layers, embedding=64))
    spec = GenerateSpec(vocabulary=vocabulary, unit="character", start_token=1)
    return export_bundle(
        net,
        out=models,
        name=name,
        version="1",
        description="For measurements.",
        spec=spec,
        provenance=describe_run("benchmarks.bundle", 0),
        files={TOKENIZER_FILE: tokenizer.encode()},
    )
