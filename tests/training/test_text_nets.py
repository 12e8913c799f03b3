"""Text networks: whole equals chunked, PyTorch equals the graph's meaning, noise only in training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.cells import Cell
from training.generate.net import LanguageModel
from training.regularise import drop_tokens, dropped_recurrent_weights, locked_dropout
from training.sentiment.net import Classifier, ClassifierConfig
from training.token_net import TokenNetConfig

cells = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
Net = LanguageModel | Classifier


def build(kind: str, cell: Cell) -> Net:
    """A small network with every kind of dropout and a start row that is not zero."""
    torch.manual_seed(0)
    net: Net
    if kind == "language model":
        net = LanguageModel(TokenNetConfig(11, cell=cell, embedding=5, hidden=6, layers=2, dropout=0.5))
    else:
        net = Classifier(
            ClassifierConfig(11, labels=3, cell=cell, embedding=5, hidden=6, layers=2, word_dropout=0.5)
        )
    nn.init.normal_(net.recurrent.start)
    return net


def rows(net: Net, batch: int) -> Tensor:
    """Start rows of a batch."""
    return net.start_row().expand(batch, -1)


@cells
@pytest.mark.parametrize("kind", ["language model", "classifier"])
def test_a_text_in_chunks_gives_the_same_as_the_whole(kind: str, cell: Cell) -> None:
    """Outputs of each step and the last row agree for uneven chunks."""
    net = build(kind, cell).eval()
    tokens = torch.randint(0, 11, (3, 17))
    whole, after = net(tokens, rows(net, 3))
    state, parts = rows(net, 3), []
    for chunk in torch.split(tokens, [1, 5, 8, 3], dim=1):
        outputs, state = net(chunk, state)
        parts.append(outputs["logits"])
    torch.testing.assert_close(torch.cat(parts, dim=1), whole["logits"])
    torch.testing.assert_close(state, after)


@cells
@pytest.mark.parametrize("kind", ["language model", "classifier"])
def test_the_row_is_what_its_fields_say(kind: str, cell: Cell) -> None:
    """Field sizes add up to the row's."""
    net = build(kind, cell)
    sizes = [shape[0] for _, shape in net.fields()]
    assert sum(sizes) == net.row_size == net.start_row().numel()


@pytest.mark.parametrize("kind", ["language model", "classifier"])
def test_the_head_runs_from_the_step_asked_for(kind: str) -> None:
    """Reading the last step gives the last of all outputs; reading none gives none."""
    net = build(kind, "gru").eval()
    tokens = torch.randint(0, 11, (2, 7))
    whole, after = net(tokens, rows(net, 2))
    last, same = net(tokens, rows(net, 2), head_from=6)
    none, _ = net(tokens, rows(net, 2), head_from=7)
    torch.testing.assert_close(last["logits"], whole["logits"][:, 6:])
    torch.testing.assert_close(same, after)
    assert none["logits"].shape[1] == 0


def test_the_classifier_reads_the_mean_of_its_hidden_states() -> None:
    """The head sees the newest hidden state beside the mean so far, and the row carries sum and count."""
    net = build("classifier", "gru").eval()
    assert isinstance(net, Classifier)
    tokens = torch.randint(0, 11, (2, 5))
    outputs, after = net(tokens, rows(net, 2))
    hidden, _ = net.recurrent(net.embedding(tokens), net.recurrent.start.expand(2, -1))
    read = torch.cat([hidden[:, 3], hidden[:, :4].mean(dim=1)], dim=1)
    torch.testing.assert_close(outputs["logits"][:, 3], net.head(read))
    torch.testing.assert_close(after[:, -7:-1], hidden.sum(dim=1))
    assert after[:, -1].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("kind", ["language model", "classifier"])
def test_noise_is_for_training_only(kind: str) -> None:
    """Two passes in training differ, two in evaluation do not."""
    net = build(kind, "lstm")
    tokens = torch.randint(0, 11, (2, 9))

    def answer() -> Tensor:
        outputs: dict[str, Tensor] = net(tokens, rows(net, 2))[0]
        return outputs["logits"]

    assert not torch.equal(answer(), answer())
    net.eval()
    assert torch.equal(answer(), answer())


def test_dropped_weights_are_dropped_for_the_block_only() -> None:
    """Inside, the outputs differ; afterwards they are as before, and gradients reach the true weights."""
    torch.manual_seed(0)
    layers = nn.GRU(3, 8, batch_first=True)
    x = torch.randn(2, 6, 3)
    before = layers(x)[0]
    with dropped_recurrent_weights(layers, 0.5, training=True):
        inside = layers(x)[0]
    assert not torch.equal(inside, before)
    torch.testing.assert_close(layers(x)[0], before)
    inside.sum().backward()
    gradient = layers.weight_hh_l0.grad
    assert isinstance(gradient, Tensor)
    assert 0.3 < float((gradient == 0).float().mean()) < 0.7


def test_an_error_inside_the_block_leaves_the_weights_whole() -> None:
    """The next call does not run on dropped weights."""
    layers = nn.GRU(3, 4, batch_first=True)
    kept = layers._flat_weights
    with pytest.raises(RuntimeError), dropped_recurrent_weights(layers, 0.5, training=True):
        layers(torch.randn(2, 6, 5))
    assert layers._flat_weights is kept


def test_locked_dropout_uses_one_mask_for_all_steps() -> None:
    """A feature of a sequence is there at every step or at none, and the mean is kept."""
    torch.manual_seed(0)
    x = locked_dropout(torch.ones(64, 7, 32), 0.25, training=True)
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert torch.unique(x).tolist() == pytest.approx([0.0, 1 / 0.75])
    assert float(x.mean()) == pytest.approx(1.0, abs=0.05)


def test_dropped_tokens_become_the_unknown_one() -> None:
    """About the share asked for, and the others stay."""
    torch.manual_seed(0)
    tokens = torch.full((100, 100), 7)
    dropped = drop_tokens(tokens, 0.2, unknown=3, training=True)
    assert torch.unique(dropped).tolist() == [3, 7]
    assert float((dropped == 3).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert torch.equal(drop_tokens(tokens, 0.2, 3, training=False), tokens)
