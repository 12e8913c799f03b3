"""How much of what was said a network writes down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from app.tasks.transcribe.ctc import BLANK, FLUSH_S, new_labels
from training.graph_net import MeasuredNet
from training.transcribe.batches import steps_of
from training.transcribe.clips import Clip
from training.transcribe.net import OUTPUT
from training.transcribe.strings import String
from training.transcribe.units import Units

_BATCH = 64


@torch.no_grad()
def log_probabilities(
    net: MeasuredNet, strings: Sequence[String], rate: int, step: int
) -> list[NDArray[np.float32]]:
    """Of each string ``[time, labels]``, as a server hears it: with silence behind it."""
    flush = np.zeros(round(FLUSH_S * rate) + step - 1, np.float32)
    found: list[NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(strings)
    order = np.argsort([len(string.samples) for string in strings], kind="stable")
    for first in range(0, len(order), _BATCH):
        group = order[first : first + _BATCH]
        longer = [np.concatenate([strings[at].samples, flush]) for at in group]
        padded, lengths = steps_of(longer, step)
        steps = padded.to(net.device)
        outputs, _ = net(steps, net.start_row().expand(len(steps), -1).contiguous())
        logs = torch.log_softmax(outputs[OUTPUT].float(), dim=2).cpu().numpy()
        for row, at in enumerate(group):
            found[at] = logs[row, : lengths[row]]
    return found


def written(logs: NDArray[np.float32]) -> list[int]:
    """The labels of the most probable path."""
    best = logs.argmax(axis=1)
    return [int(label) for label in best[new_labels(best, BLANK)]]


def word_errors(said: Sequence[str], told: Sequence[str]) -> float:
    """Words to insert, drop or replace, by all words said (word error rate)."""
    errors = sum(edits(one.split(), other.split()) for one, other in zip(said, told, strict=True))
    return errors / max(1, sum(len(text.split()) for text in said))


def edits(said: Sequence[object], told: Sequence[object]) -> int:
    """Levenshtein 1966."""
    row = list(range(len(told) + 1))
    for index, word in enumerate(said):
        diagonal, row[0] = row[0], index + 1
        for place, other in enumerate(told):
            change = diagonal + (word != other)
            diagonal = row[place + 1]
            row[place + 1] = min(change, row[place] + 1, diagonal + 1)
    return row[-1]


def texts(logs: Sequence[NDArray[np.float32]], units: Units) -> list[str]:
    return [units.text(written(each)) for each in logs]


def as_strings(clips: Sequence[Clip]) -> list[String]:
    return [String(clip.wave, clip.labels, clip.text) for clip in clips]


def single_words(logs: Sequence[NDArray[np.float32]], num_labels: int) -> NDArray[np.intp]:
    """The most probable label of sounds of which it is known that each is one."""
    found = []
    for each in logs:
        paths = torch.from_numpy(each)[:, None].expand(-1, num_labels, -1)
        losses = functional.ctc_loss(
            paths,
            torch.arange(1, num_labels + 1)[:, None],
            torch.full((num_labels,), len(each)),
            torch.ones(num_labels, dtype=torch.long),
            blank=BLANK,
            reduction="none",
        )
        found.append(int(losses.argmin()) + 1)
    return np.array(found)
