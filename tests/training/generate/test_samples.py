"""Texts for the card: of the network, by the seed, and never an unknown token."""

from __future__ import annotations

import torch

from app.features.text import TextCodec
from training.generate.net import LanguageModel
from training.generate.samples import sample, samples_for_card
from training.token_net import TokenNetConfig
from training.tokenizers import UNKNOWN_ID, character_tokenizer

CODEC = TextCodec(character_tokenizer(["abcdefgh"]))
(END,) = CODEC.encode("\n")


def network() -> LanguageModel:
    """Untrained, but for its wish to write unknown tokens."""
    torch.manual_seed(0)
    net = LanguageModel(TokenNetConfig(CODEC.size, embedding=8, hidden=16)).eval()
    net.head.bias.data[UNKNOWN_ID] = 50.0
    return net


def test_a_cold_text_is_the_greedy_one() -> None:
    """Token by token it is what one call over the whole text finds likeliest, unknown ones left out."""
    net = network()
    text = sample(net, CODEC, END, temperature=1e-4, tokens=40)
    tokens = [END, *CODEC.encode(text)]
    outputs, _ = net(torch.tensor([tokens]), net.start_row()[None])
    outputs["logits"][..., UNKNOWN_ID] = -torch.inf
    assert outputs["logits"][0, :-1].argmax(dim=1).tolist() == tokens[1:]
    assert len(tokens) == 41


def test_a_text_depends_on_the_seed_alone() -> None:
    """And on the temperature."""
    net = network()
    texts = [sample(net, CODEC, END, temperature=1.0, tokens=40, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_card_shows_three_texts_as_they_are() -> None:
    """Each in a block that no line of it ends."""
    card = samples_for_card(network(), CODEC, END, characters=False)
    assert [card.count(f"Temperature {temperature}:") for temperature in (0.5, 0.8, 1.1)] == [1, 1, 1]
    blocks = [
        line for line in card.splitlines() if line and not line.startswith(("Temperature", "**Samples"))
    ]
    assert blocks
    assert all(line.startswith("    ") for line in blocks)
