"""One temperature for a language model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from training.cells import Cell
from training.generate.calibrate import best_temperature, calibrate
from training.generate.measure import total_nats, whole_batches
from training.generate.net import LanguageModel
from training.token_net import TokenNetConfig

BOUNDARY = 0


def drawn(net: LanguageModel, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A text that the network itself writes, which its own probabilities suit."""
    random = torch.Generator().manual_seed(1)
    token, state, found = torch.tensor([[BOUNDARY]]), net.start_row()[None], []
    with torch.no_grad():
        for _ in range(count):
            outputs, state = net(token, state)
            token = torch.multinomial(outputs["logits"][0].softmax(dim=1), 1, generator=random)
            found.append(int(token))
    return np.array(found)


def model(cell: Cell = "lstm", *, tied: bool = False) -> LanguageModel:
    """Fixed weights that say something: its tokens are far from equally likely."""
    torch.manual_seed(3)
    net = LanguageModel(TokenNetConfig(9, cell, embedding=8, hidden=8, layers=2, tied=tied)).eval()
    net.head.weight.data *= 12 if tied else 6
    net.head.bias.data.normal_(std=2.0)
    return net


@pytest.mark.parametrize(("cell", "tied"), [("lstm", True), ("gru", True), ("rnn", True), ("lstm", False)])
@pytest.mark.parametrize("sharper", [1.6, 0.7])
def test_logits_that_are_too_sure_or_not_sure_enough_are_set_right(
    cell: Cell, tied: bool, sharper: float
) -> None:
    """Of a network whose logits were multiplied, on text that the network before would write."""
    net = model(cell, tied=tied)
    text = drawn(net, 3000)
    wrong = copy.deepcopy(net)
    for parameter in wrong.head.parameters():
        parameter.data *= sharper
    if tied:
        wrong.recurrent.layers.get_parameter("weight_ih_l0").data /= sharper
    before = total_nats(wrong, [text], BOUNDARY, lines=False)
    _, promised = best_temperature(wrong, lambda: whole_batches([text], BOUNDARY, lines=False))
    found = calibrate(wrong, lambda: whole_batches([text], BOUNDARY, lines=False))
    assert found == pytest.approx(sharper, rel=0.1)
    after = total_nats(wrong, [text], BOUNDARY, lines=False)
    assert after < before
    assert after == pytest.approx(promised, rel=1e-4)
    assert after == pytest.approx(total_nats(net, [text], BOUNDARY, lines=False), rel=0.003)
    tokens = torch.from_numpy(text[None])
    states = [each(tokens, each.start_row()[None])[1].detach() for each in (net, wrong)]
    torch.testing.assert_close(states[1], states[0], rtol=1e-4, atol=1e-5)


def test_a_network_that_is_right_keeps_its_weights_to_the_bit() -> None:
    net = model()
    text = drawn(net, 3000)
    weights = copy.deepcopy(net.state_dict())
    assert calibrate(net, lambda: whole_batches([text], BOUNDARY, lines=False)) == 1.0
    assert all(torch.equal(weights[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("text", [[1, 1, 1, 1], [2]])
def test_a_text_that_says_nothing_makes_no_network_certain(text: list[int]) -> None:
    """Every token foreseen, or a single one: at most twice as sharp, at least half."""
    net = model()
    net.head.bias.data[1] = 40.0
    found, _ = best_temperature(net, lambda: whole_batches([np.array(text)], BOUNDARY, lines=False))
    assert 0.5 <= found <= 2.0


def test_lines_are_read_with_their_ends() -> None:
    """Padding behind a short line tells nothing of the temperature."""
    net = model()
    line = drawn(net, 200)
    alone, _ = best_temperature(net, lambda: whole_batches([line] * 9, BOUNDARY, lines=True))
    padded, _ = best_temperature(net, lambda: whole_batches([line[:0], *[line] * 9], BOUNDARY, lines=True))
    assert padded == pytest.approx(alone, rel=0.01)
