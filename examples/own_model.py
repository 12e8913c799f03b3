"""A network of your own, from PyTorch to a bundle that the server reads.

    .venv/bin/python examples/own_model.py models

It learns to count in words, in a few seconds. Replace text, network and training with yours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from app.features.text import TextCodec
from training.export import describe_run
from training.tokenizers import character_tokenizer
from training.user_module import export_module

NUMBERS = "one two three four five six seven eight nine ten eleven twelve"
LENGTH, BATCH, STEPS = 48, 16, 150


class Counter(nn.Module):
    """Characters in, logits of the next character out."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16)
        self.rnn = nn.GRU(16, 64, batch_first=True)
        self.head = nn.Linear(64, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``[batch, time]`` to logits ``[batch, time, vocabulary]``."""
        features, _ = self.rnn(self.embedding(tokens))
        logits: Tensor = self.head(features)
        return logits


def train(model: Counter, ids: Tensor) -> float:
    """Fit the model to a text; the mean loss of the last steps in nats per character."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - LENGTH, (BATCH,))
        windows = torch.stack([ids[start : start + LENGTH + 1] for start in starts.tolist()])
        logits = model(windows[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


def main(out: Path) -> None:
    """Train and export."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    text = "\n".join([NUMBERS] * 20)
    tokenizer = character_tokenizer([text])
    codec = TextCodec(tokenizer)
    model = Counter(codec.size)
    loss = train(model, torch.tensor(codec.encode(text)))
    folder = export_module(
        model,
        task="generate",
        tokenizer=tokenizer,
        out=out,
        name="counter",
        description="Counts from one to twelve.",
        provenance=describe_run("python examples/own_model.py models", seed=0),
        card_notes="An example. It has seen one line of text and knows nothing else.",
    )
    print(f"wrote {folder}, {loss:.3f} nats per character")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
