"""How well a network foretells music: nats of a token and of a step, with counts of notes beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from app.bundle.manifest import Quality
from app.tasks.compose.spec import OUTPUT, ComposeSpec
from training.compose.baselines import baselines
from training.compose.batches import windows
from training.compose.corpus import Corpus, Streams, streams
from training.compose.harmony import RANGES, TEMPERATURE, harmonised, marks
from training.graph_net import MeasuredNet

_AT_ONCE = 16
_WINDOW = 512
REFERENCES = {
    "JSB chorales, quarters": {"LSTM": 8.45, "RNN-RBM": 6.27, "RNN-NADE": 5.56},
    "Nottingham": {"LSTM": 3.29, "RNN-RBM": 2.39, "RNN-NADE": 2.31},
    "JSB chorales, sixteenths": {},
}
"""Nats a step of the test part: Bai et al. 2018; Boulanger-Lewandowski et al. 2012."""


@dataclass(frozen=True, slots=True)
class Nats:
    """Of some pieces: the sum by voice ``[voices]``, and how many tokens of each voice there are."""

    by_voice: NDArray[np.float64]
    tokens: int

    @property
    def each(self) -> float:
        """Of a token."""
        return float(self.by_voice.sum() / (self.tokens * len(self.by_voice)))

    @property
    def step(self) -> float:
        return float(self.by_voice.sum() / self.tokens)


@torch.no_grad()
def nats(net: MeasuredNet, pieces: Streams, voices: int = 1) -> Nats:
    """Pieces whole, their state carried from their beginning."""
    total, tokens = np.zeros(voices), 0
    order = sorted(range(len(pieces)), key=lambda index: len(pieces[index][0]))
    for first in range(0, len(order), _AT_ONCE):
        group = [pieces[index] for index in order[first : first + _AT_ONCE]]
        state = net.start_row().expand(len(group), -1).contiguous()
        for window in windows(group, _WINDOW * voices):
            outputs, state = net(window.tokens.to(net.device), state)
            logits = outputs[OUTPUT].float().cpu()
            lost = functional.cross_entropy(logits.transpose(1, 2), window.targets, reduction="none")
            counted = torch.where(window.counts, lost, 0.0).double().numpy()
            total += counted.sum(axis=0).reshape(-1, voices).sum(axis=0)
            tokens += int(window.counts.sum())
    return Nats(total, tokens // voices)


def measure(net: MeasuredNet, corpus: Corpus, spec: ComposeSpec, *, beside: bool = False) -> list[Quality]:
    """Figures of the validation and of the test part; ``beside`` them those of counts, which take a while."""
    counted = baselines(corpus) if beside else {}
    found = []
    for split, pieces in (("validation", corpus.validation), ("test", corpus.test)):
        said = nats(net, streams(pieces, spec.layout), len(spec.voices))
        kinds = [("nats a step", said.step, 1.0)]
        if corpus.named and len(spec.voices) > 1:
            kinds.append(("nats a voice token", said.each, float(len(spec.voices))))
        for metric, value, share in kinds:
            references = REFERENCES.get(corpus.title, {}) if split == "test" and share == 1.0 else {}
            found.append(
                Quality(
                    metric=metric,
                    dataset=corpus.title,
                    split=split,
                    value=value,
                    higher_is_better=False,
                    baselines={name: each[split] / share for name, each in counted.items()},
                    references=references,
                )
            )
    if {voice.name for voice in spec.voices} == RANGES.keys():
        found += _marked(net, corpus, spec)
    return found


def _marked(net: MeasuredNet, corpus: Corpus, spec: ComposeSpec) -> list[Quality]:
    """What a teacher would mark in the test part's melodies, harmonised anew, and in their own harmony."""
    names = [voice.name for voice in spec.voices]
    drawn = marks(harmonised(net, corpus.test, spec, seed=0), names)
    own = marks([piece.pitches for piece in corpus.test], names)
    kinds = (
        ("parallel fifths", drawn.fifths, own.fifths),
        ("parallel octaves", drawn.octaves, own.octaves),
        ("notes out of range", drawn.out_of_range, own.out_of_range),
    )
    return [
        Quality(
            metric=f"{kind} in a hundred chords of melodies harmonised at temperature {TEMPERATURE:g}",
            dataset=corpus.title,
            split="test",
            value=value,
            higher_is_better=False,
            baselines={"the composer's own": beside},
        )
        for kind, value, beside in kinds
    ]
