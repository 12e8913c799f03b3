"""Training loss and measures of a text classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.bundle.manifest import Quality
from training.graph_net import MeasuredNet
from training.sentiment.batches import LabelledBatch, labelled_batches
from training.sentiment.data import Corpus, Labelled

_EVALUATION_TOKENS = 65_536
_EVALUATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class ReadingLoss:
    """Cross-entropy at a text's last token and, for long texts, along the way.

    Attributes:
        running_weight: weight of the running score's loss beside that of the answer.
        running_from: texts of fewer tokens are judged at their end only, since the beginning of
            a phrase often says the opposite of the whole.
    """

    running_weight: float
    running_from: int

    def __call__(self, net: MeasuredNet, batch: LabelledBatch) -> Tensor:
        """Loss of one batch."""
        device = net.device
        tokens, lengths = batch.tokens.to(device), batch.lengths.to(device)
        outputs, _ = net(tokens, net.start_row().expand(tokens.shape[0], -1))
        logits = outputs["logits"].float()
        shares = label_shares(batch, logits.shape[2]).to(device)
        answer = functional.cross_entropy(last_step(logits, lengths), shares)
        long = lengths >= self.running_from
        if self.running_weight == 0.0 or not bool(long.any()):
            return answer
        steps = logits[long].log_softmax(dim=2)
        each = -(steps * shares[long][:, None]).sum(dim=2)
        # The more of a text has been read, the more its label can be known.
        position = torch.arange(1, steps.shape[1] + 1, device=device)
        share = position / lengths[long][:, None]
        weight = torch.where(share <= 1.0, share, 0.0)
        return answer + self.running_weight * (each * weight).sum() / weight.sum()


def label_shares(batch: LabelledBatch, num_labels: int) -> Tensor:
    """Target distribution ``[batch, num_labels]``; what a label is not sure of goes to the others."""
    sure = batch.confidence[:, None]
    one_hot = functional.one_hot(batch.labels, num_labels)
    return one_hot * sure + (1 - one_hot) * (1.0 - sure) / (num_labels - 1)


def last_step(values: Tensor, lengths: Tensor) -> Tensor:
    """``values[b, lengths[b] - 1]`` of ``[batch, time, ...]``."""
    return values[torch.arange(values.shape[0], device=values.device), lengths - 1]


@torch.no_grad()
def probabilities(net: MeasuredNet, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Probability ``[texts, labels]`` of each label, by a network in evaluation mode on whole texts."""
    found: list[tuple[Tensor, Tensor]] = []
    # Batches are ordered by length; their labels are the places in the given order.
    for batch in labelled_batches(
        sequences, range(len(sequences)), max_batch=_EVALUATION_BATCH, batch_tokens=_EVALUATION_TOKENS
    ):
        tokens, lengths = batch.tokens.to(net.device), batch.lengths.to(net.device)
        outputs, _ = net(tokens, net.start_row().expand(tokens.shape[0], -1))
        logits = last_step(outputs["logits"], lengths).cpu().double()
        found.append((batch.labels, logits.softmax(dim=1)))
    places = torch.cat([place for place, _ in found]).argsort()
    return np.asarray(torch.cat([shares for _, shares in found])[places].numpy())


def accuracy(net: MeasuredNet, sequences: Sequence[Sequence[int]], labels: Sequence[int]) -> float:
    """Share of right labels of a network in evaluation mode, on whole texts."""
    answers = probabilities(net, sequences).argmax(axis=1)
    return float((answers == np.asarray(labels)).mean())


def measure(
    net: MeasuredNet, corpus: Corpus, test: Labelled, baselines: Mapping[str, float] | None = None
) -> Quality:
    """Accuracy on the test part of a corpus, which ``test`` is in tokens."""
    return Quality(
        metric="accuracy",
        dataset=corpus.title,
        split=corpus.split,
        value=accuracy(net, *test.pair),
        higher_is_better=True,
        baselines=dict(baselines or {}),
        references=corpus.references,
    )
