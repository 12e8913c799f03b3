"""A captioner of random weights, and pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from app.features.text import TextCodec
from app.tasks.caption.pictures import as_input
from app.tasks.caption.spec import CaptionSpec
from tests.bundles.untrained import exported
from training.caption.corpus import Vocabulary, caption_tokenizer
from training.caption.net import Captioner, CaptionerConfig, Encoder
from training.caption.scratch import Scratch

SIZE, DETAIL, MAX_TOKENS = 64, 32, 12
WORDS = "a dog runs, two men 's t-shirt in the red grass jump over one big wave"


def tiny_captioner(out: Path, name: str = "tiny-eyes", version: str = "1") -> Path:
    """Says words of its few in any order, other ones for other pictures."""
    torch.manual_seed(3)
    tokenizer = caption_tokenizer([WORDS] * 2, 100, 1)
    vocabulary = Vocabulary(TextCodec(tokenizer))
    config = CaptionerConfig(
        vocabulary=vocabulary.size, values=16, embedding=16, hidden=12, attention=8, size=SIZE
    )
    net: Any = Captioner(config, Scratch(), vocabulary.codec.unknown or 0)
    for parameter in net.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.6)  # so that attention and logits are anything but even
    nn.init.constant_(net.bias[vocabulary.end : vocabulary.end + 1], 1.0)
    random = np.random.default_rng(0)
    return exported(
        net,
        out,
        name,
        version,
        "Random words.",
        spec=CaptionSpec(
            vocabulary=vocabulary.size,
            start_token=vocabulary.start,
            end_token=vocabulary.end,
            max_tokens=MAX_TOKENS,
            size=SIZE,
            detail=DETAIL,
            grid=(SIZE // Scratch.stride, SIZE // Scratch.stride),
        ),
        seed=3,
        tokenizer=tokenizer,
        golden_steps=random.integers(0, vocabulary.size, (3, 24)),
        encoder=Encoder(net),
        golden_inputs=[as_input(random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)) for _ in range(3)],
    )


def picture(seed: int, width: int = 96, height: int = 64) -> Image.Image:
    """Coloured patches, unlike in every corner."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST)


def as_file(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    """A file of it."""
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()
