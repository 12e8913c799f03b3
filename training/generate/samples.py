"""What a language model writes, for its card: by a seed, not by choice, so that good and bad are seen."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special

from app.features.text import TextCodec
from training.graph_net import MeasuredNet

_TEMPERATURES = (0.5, 0.8, 1.1)
_TOKENS = {True: 300, False: 60}
"""Of a sample, by whether a token is one character."""


@torch.no_grad()
def sample(
    net: MeasuredNet, codec: TextCodec, start: int, *, temperature: float, tokens: int, seed: int = 0
) -> str:
    """A text of ``tokens`` tokens that follow the token ``start``, which is not part of it.

    Args:
        net: in evaluation mode.
        codec: the network's.
        start: fed first.
        temperature: the logits are divided by it; above 0.
        tokens: to write; unknown ones never are.
        seed: of the choices.
    """
    random = np.random.default_rng(seed)
    written, row = [start], net.start_row()[None]
    while len(written) <= tokens:
        fed = torch.tensor([written[-1:]], device=net.device)
        outputs, row = net(fed, row)
        logits = outputs["logits"][0, -1].double().cpu().numpy() / temperature
        if codec.unknown is not None:
            logits[codec.unknown] = -np.inf
        written.append(int(random.choice(len(logits), p=special.softmax(logits))))
    return codec.decode(written[1:])


def samples_for_card(net: MeasuredNet, codec: TextCodec, start: int, *, characters: bool) -> str:
    """Markdown: one text at each of three temperatures."""
    parts = ["**Samples**, by seed 0 and not by choice, after the start token:"]
    for temperature in _TEMPERATURES:
        text = sample(net, codec, start, temperature=temperature, tokens=_TOKENS[characters])
        # No line of a text ends its block.
        quoted = "\n".join(f"    {line}".rstrip() for line in text.strip("\n").split("\n"))
        parts.append(f"Temperature {temperature:g}:\n\n{quoted}")
    return "\n\n".join(parts)
