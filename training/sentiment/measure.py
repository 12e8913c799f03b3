"""Training loss and measures of a text classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, special
from torch import Tensor
from torch.nn import functional

from app.bundle.manifest import Quality
from training.graph_net import MeasuredNet
from training.sentiment.batches import LabelledBatch, labelled_batches
from training.sentiment.data import Corpus, Labelled

_EVALUATION_TOKENS = 65_536
_EVALUATION_BATCH = 256
_BINS = 15
# Of the logarithm of a temperature, and of a bias, to both sides.
_WIDEST = 3.0
# What a temperature of e or 1/e, and a bias of 1, cost in nats over all held-out texts: a few are no proof.
_PRIOR_TEMPERATURE, _PRIOR_BIAS = 1, 10


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
def logits_of(net: MeasuredNet, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Logits ``[texts, labels]`` of a network in evaluation mode, after whole texts."""
    found: list[tuple[Tensor, Tensor]] = []
    # Batches are ordered by length; their labels are the places in the given order.
    for batch in labelled_batches(
        sequences, range(len(sequences)), max_batch=_EVALUATION_BATCH, batch_tokens=_EVALUATION_TOKENS
    ):
        tokens, lengths = batch.tokens.to(net.device), batch.lengths.to(net.device)
        outputs, _ = net(tokens, net.start_row().expand(tokens.shape[0], -1))
        found.append((batch.labels, last_step(outputs["logits"], lengths).cpu().double()))
    places = torch.cat([place for place, _ in found]).argsort()
    return np.asarray(torch.cat([logits for _, logits in found])[places].numpy())


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Logits are divided by a temperature, then biases ``[labels]`` are added.

    Guo et al. 2017, "On Calibration of Modern Neural Networks"; Alexandari, Kundaje & Shrikumar 2020,
    "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation".
    """

    temperature: float
    biases: NDArray[np.float64]

    @classmethod
    def at(cls, point: NDArray[np.float64]) -> Self:
        """Of the temperature's logarithm and the biases, ``[1 + labels]``."""
        return cls(float(np.exp(point[0])), point[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Of texts whose labels are known, among the labels that occur: binary data have no neutral texts.

    Attributes:
        logits: ``[texts, labels that occur]``.
        right: which of them is right, ``[texts]``.
        labels: which of the network's these are.
    """

    logits: NDArray[np.float64]
    right: NDArray[np.int64]
    labels: NDArray[np.intp]

    @classmethod
    def of(cls, net: MeasuredNet, texts: Labelled, places: Sequence[int] | None = None) -> Verdicts:
        """By a network in evaluation mode.

        Args:
            net: the network.
            texts: with their labels.
            places: of each label of the data among the network's; ``None``: they are the same.
        """
        occurring, right = np.unique(np.asarray(texts.labels), return_inverse=True)
        columns = occurring if places is None else np.asarray(places)[occurring]
        return cls(logits_of(net, texts.tokens)[:, columns], right, columns)

    @property
    def accuracy(self) -> float:
        """Share of right labels."""
        return float((self.logits.argmax(axis=1) == self.right).mean())

    def nats(self, calibration: Calibration) -> float:
        """Mean surprise at the right labels."""
        rows = np.arange(len(self.right))
        logits = self.logits / calibration.temperature + calibration.biases[self.labels]
        return -float(special.log_softmax(logits, axis=1)[rows, self.right].mean())

    @property
    def calibration_error(self) -> float:
        """Of the likeliest label, in 15 bins of equal width (Naeini et al. 2015; Guo et al. 2017)."""
        shares = special.softmax(self.logits, axis=1)
        sure, hit = shares.max(axis=1), shares.argmax(axis=1) == self.right
        bins = np.minimum((sure * _BINS).astype(np.int64), _BINS - 1)
        gaps = [abs(float(sure[bins == at].sum()) - float(hit[bins == at].sum())) for at in np.unique(bins)]
        return sum(gaps) / len(hit)


def calibration(parts: Sequence[Verdicts], num_labels: int) -> Calibration:
    """By which held-out labels surprise least, each part weighing the same; few hardly change the logits."""
    num = sum(len(part.right) for part in parts)

    def cost(at: NDArray[np.float64]) -> float:
        nats = float(np.mean([part.nats(Calibration.at(at)) for part in parts]))
        return nats + float(_PRIOR_TEMPERATURE * at[0] ** 2 + _PRIOR_BIAS * (at[1:] ** 2).sum()) / num

    bounds = [(-_WIDEST, _WIDEST)] * (1 + num_labels)
    return Calibration.at(optimize.minimize(cost, np.zeros(1 + num_labels), bounds=bounds).x)


def measure(
    verdicts: Verdicts, corpus: Corpus, baselines: Mapping[str, float] | None = None
) -> list[Quality]:
    """Figures of the test part of a corpus."""
    about = {"dataset": corpus.title, "split": corpus.split}
    return [
        Quality(
            metric="accuracy",
            value=verdicts.accuracy,
            higher_is_better=True,
            baselines=dict(baselines or {}),
            references=corpus.references,
            **about,
        ),
        Quality(
            metric="calibration error",
            value=verdicts.calibration_error,
            higher_is_better=False,
            **about,
        ),
    ]
