"""An adaptive softmax (Grave et al. 2017): frequent tokens in one list, rare ones behind it in cheaper ones.

PyTorch's own leaves its logarithms in bfloat16 where the products are; these are in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

# Each further list has this part of the features of the one before.
_NARROWER = 4


class AdaptiveHead(nn.Module):
    """Nats of tokens that are numbered by how frequent they are.

    Args:
        features: of a hidden state.
        vocabulary: number of tokens.
        cutoffs: where the lists behind the first begin, ascending; those beyond the vocabulary are left out.
    """

    def __init__(self, features: int, vocabulary: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        self._bounds = [*(cutoff for cutoff in cutoffs if cutoff < vocabulary), vocabulary]
        sizes = [end - begin for begin, end in pairwise(self._bounds)]
        self.first = nn.Linear(features, self._bounds[0] + len(sizes))
        narrow = [max(1, features // _NARROWER**place) for place in range(1, len(sizes) + 1)]
        self.rare = nn.ModuleList(
            nn.Sequential(nn.Linear(features, width, bias=False), nn.Linear(width, size))
            for width, size in zip(narrow, sizes, strict=True)
        )

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Nats ``[n]`` of ``tokens`` ``[n]`` after the states ``hidden`` ``[n, features]``."""
        # The first list has an entry for each list of rare tokens.
        lists = torch.bucketize(tokens, tokens.new_tensor(self._bounds[:-1]), right=True)
        short = torch.where(lists == 0, tokens, self._bounds[0] + lists - 1)
        nats = functional.cross_entropy(self.first(hidden).float(), short, reduction="none")
        for place, (layers, begin) in enumerate(zip(self.rare, self._bounds, strict=False), start=1):
            (rows,) = torch.where(lists == place)
            if len(rows):
                logits = layers(hidden[rows]).float()
                among = functional.cross_entropy(logits, tokens[rows] - begin, reduction="none")
                nats = nats.index_add(0, rows, among)
        return nats
