"""Measures of text networks, against stand-ins whose right answer is obvious."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from training.generate.corpus import IGNORED, TokenBatch
from training.generate.measure import CarriedLoss, batch_nats, token_nats, total_nats
from training.sentiment.batches import LabelledBatch
from training.sentiment.data import Labelled
from training.sentiment.measure import ReadingLoss, Verdicts, label_shares, last_step


class Counter:
    """A network whose row counts steps; its logits prefer label or token 1 as strongly as the count."""

    device = torch.device("cpu")

    def start_row(self) -> Tensor:
        """Nothing counted yet."""
        return torch.zeros(1)

    def __call__(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Logits ``[0, count]``."""
        counts = state[:, None] + torch.arange(1.0, x.shape[1] + 1)[None, :, None]
        logits = torch.cat([torch.zeros_like(counts), counts], dim=2)
        return {"logits": logits[:, head_from:]}, counts[:, -1]


def surprise(count: float, token: int) -> float:
    """Nats of ``token`` under logits ``[0, count]``."""
    return float(np.logaddexp(0.0, count)) - (count if token == 1 else 0.0)


def test_padding_costs_nothing() -> None:
    """Uniform logits cost log 4 per real token."""
    targets = torch.tensor([[1, 2, IGNORED], [3, IGNORED, IGNORED]])
    assert float(token_nats(torch.zeros(2, 3, 4), targets)) == pytest.approx(3 * math.log(4))


def test_a_stream_is_read_with_its_state_carried_through() -> None:
    """Every token of a text longer than a chunk is predicted, at its own count."""
    ids = np.asarray([1, 0] * 600, np.int64)
    expected = sum(surprise(position + 1, int(token)) for position, token in enumerate(ids))
    assert total_nats(Counter(), [ids], 0, lines=False) == pytest.approx(expected, rel=1e-5)


def test_fresh_batches_start_afresh() -> None:
    """The count begins again where a batch says so, and goes on where not."""
    one = torch.ones(1, 2, dtype=torch.int64)
    fresh, on = TokenBatch(one, one, True), TokenBatch(one, one, False)
    first = surprise(1, 1) + surprise(2, 1)
    second = surprise(3, 1) + surprise(4, 1)
    assert batch_nats(Counter(), [fresh, fresh]) == pytest.approx(2 * first)
    assert batch_nats(Counter(), [fresh, on]) == pytest.approx(first + second)
    loss = CarriedLoss()
    assert float(loss(Counter(), fresh)) == pytest.approx(first / 2)
    assert float(loss(Counter(), on)) == pytest.approx(second / 2)


def test_labels_are_read_at_each_texts_own_end() -> None:
    """Padding after a text does not change its answer."""
    values = torch.arange(12.0).reshape(2, 3, 2)
    assert last_step(values, torch.tensor([1, 3])).tolist() == [[0.0, 1.0], [10.0, 11.0]]
    assert Verdicts.of(Counter(), Labelled([[5], [5, 5, 5]], [1, 0], [1.0, 1.0])).accuracy == 0.5


def test_long_texts_are_judged_along_the_way() -> None:
    """The running loss weighs a step by how much has been read, and skips short texts."""
    batch = LabelledBatch(
        torch.ones(2, 3, dtype=torch.int64),
        torch.tensor([3, 1]),
        torch.tensor([0, 1]),
        torch.ones(2),
    )
    answer = (surprise(3, 0) + surprise(1, 1)) / 2
    running = sum(weight * surprise(weight, 0) for weight in (1, 2, 3)) / 6
    assert float(ReadingLoss(0.0, 2)(Counter(), batch)) == pytest.approx(answer)
    assert float(ReadingLoss(0.5, 2)(Counter(), batch)) == pytest.approx(answer + 0.5 * running)
    assert float(ReadingLoss(0.5, 9)(Counter(), batch)) == pytest.approx(answer)


def test_an_unsure_label_shares_the_rest_among_the_others() -> None:
    """Certain, fairly sure, and no better than chance."""
    batch = LabelledBatch(
        torch.ones(3, 1, dtype=torch.int64),
        torch.ones(3, dtype=torch.int64),
        torch.tensor([2, 0, 1]),
        torch.tensor([1.0, 0.8, 1 / 3]),
    )
    expected = torch.tensor([[0.0, 0.0, 1.0], [0.8, 0.1, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(label_shares(batch, 3), expected)
