"""Of sound and music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from app.tasks.compose.spec import ComposeSpec, Voice
from app.tasks.transcribe.spec import TranscribeSpec
from tests.bundles.untrained import exported, unsettle
from training.cells import Cell
from training.compose.corpus import allowed, follows, intervals
from training.compose.net import Composer, ComposerConfig
from training.transcribe.net import Hearer, HearerConfig

TINY_VOICES = (
    Voice(name="soprano", low=60, high=70),
    Voice(name="bass", low=48, high=60),
    Voice(name="alto", low=55, high=65),
)


def tiny_hearer(out: Path, cell: Cell = "gru", name: str = "tiny-ears", version: str = "1") -> Path:
    """Hears the letters a, b, c and spaces in anything, often enough to have words of several letters."""
    torch.manual_seed(6)
    net = Hearer(HearerConfig(5, cell=cell, hidden=12, layers=2, channels=3))
    unsettle(net)
    steps = np.random.default_rng(0).normal(0, 0.1, (3, 24, net.step_samples)).astype(np.float32)
    with torch.no_grad():
        samples = torch.from_numpy(steps)
        net.settle(net.powers(samples, torch.zeros(3, net.tail)).flatten(0, 1))
        net.front.joined.weight.mul_(0.1)
        net.head.weight.mul_(25.0)
        logits = net(samples, net.start_row().expand(3, -1).contiguous())[0]["logits"]
        net.head.bias.sub_(logits.mean(dim=(0, 1)))
        net.head.bias[0] += 1
    return exported(
        net,
        out,
        name,
        version,
        "Random letters.",
        spec=TranscribeSpec(
            unit="character", units=("a", "b", "c", " "), sample_rate=8000, step_samples=net.step_samples
        ),
        seed=6,
        golden_steps=steps,
    )


def tiny_composer(
    out: Path,
    cell: Cell = "lstm",
    name: str = "tiny-music",
    version: str = "1",
    voices: tuple[Voice, ...] = TINY_VOICES,
    lead: int = 2,
    restrikes: bool = False,
) -> Path:
    """Three voices, the first two steps ahead, in bars of six steps."""
    torch.manual_seed(5)
    spec = ComposeSpec(voices=voices, lead=lead, steps_per_beat=2, beats_per_bar=3, restrikes=restrikes)
    config = ComposerConfig(
        spec.layout.vocabulary, len(voices), lead, spec.steps_per_bar, window=12, cell=cell, hidden=16
    )
    net = Composer(config, allowed(spec), intervals(spec.layout), follows(spec.layout))
    unsettle(net)
    return exported(
        net,
        out,
        name,
        version,
        "Random music.",
        spec=spec,
        seed=5,
        golden_steps=np.random.default_rng(5).integers(0, spec.layout.vocabulary, (3, 24)),
    )
