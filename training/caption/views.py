"""Pictures as training shows them: what a frozen encoder made of them, or their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.tasks.caption.pictures import Pixels, as_input
from training.caption.features import Grids
from training.caption.net import Captioner


class Views(Protocol):
    """The pictures of a part, by their index."""

    def __len__(self) -> int: ...

    def take(self, indices: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor: ...

    def grid(self, net: Captioner, taken: Tensor) -> Tensor:
        """What was taken, as the encoder sees it: ``[batch, positions, features]``."""


class GridViews:
    """Of grids ``[pictures, 1 or 2, positions, features]``; where there is one, nothing is mirrored."""

    def __init__(self, grids: Grids) -> None:
        self._grids = grids

    def __len__(self) -> int:
        return len(self._grids)

    def take(self, indices: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        places = mirrored.astype(np.int64) if self._grids.shape[1] > 1 else np.zeros(len(indices), np.int64)
        return torch.from_numpy(self._grids[indices, places].astype(np.float32))

    def grid(self, net: Captioner, taken: Tensor) -> Tensor:
        return taken

    def means(self) -> NDArray[np.float32]:
        """Of each picture ``[pictures, features]``."""
        return np.stack([grid[0].mean(axis=0, dtype=np.float32) for grid in self._grids])


class PixelViews:
    """Of pictures ``[size, size, 3]``."""

    def __init__(self, pixels: Sequence[Pixels]) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def take(self, indices: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        shown = [
            as_input(self._pixels[index][:, :: -1 if flipped else 1])
            for index, flipped in zip(indices.tolist(), mirrored.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(shown))

    def grid(self, net: Captioner, taken: Tensor) -> Tensor:
        return net.see(taken)
