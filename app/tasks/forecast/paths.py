"""Sample paths: what may follow a series, drawn from the network's quantiles and fed back to it.

    history --network--> quantiles of the next H steps --draw--> H values of each path
    these   --network--> quantiles of the H steps after them --draw--> ... up to the horizon

H is the horizon that the network was trained for. Feeding a whole horizon back, and not one step at a time,
keeps the spread that it was trained to predict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.core.philox import normal
from app.core.sequence import BlockRequest, BlockResult, Read
from app.features.series import VALUE
from app.tasks.forecast.history import History
from app.tasks.forecast.quantiles import Quantiles
from app.tasks.forecast.schema import LARGEST_VALUE

Array = NDArray[np.float64]

DEFAULT_PATHS = 200
# A path's random numbers are those of its number and step; no path has so many steps.
_STEPS_OF_A_PATH = 1 << 32
_MOST_CORRELATION = 0.995
_TINY = 1e-30
# Values that are drawn and written as steps in a millisecond.
_VALUES_PER_MS = 3_000


class Paths:
    """Of all series of a request, ``num`` of each. Series that are alike draw alike.

    Attributes:
        values: ``[series, num, horizon]``.
        beyond: of each series ``[horizon - H, 1 + levels]``, the paths' mean and quantiles behind the first H
        steps.
    """

    def __init__(
        self,
        histories: Sequence[History],
        members: Sequence[Sequence[int]],
        quantiles: Quantiles,
        *,
        trained: int,
        horizon: int,
        levels: tuple[float, ...],
        num: int,
        seed: int,
    ) -> None:
        self._histories = histories
        self._order = [index for block in members for index in block]
        self._quantiles = quantiles
        self._trained = trained
        self._levels = levels
        self._seed = seed
        self.num = num
        self.values = np.empty((len(histories), num, horizon))
        self.beyond: list[Array] = []
        self._drawn = 0

    @property
    def further_ms(self) -> float:
        series, num, horizon = self.values.shape
        return series * num * min(horizon, self._trained) / _VALUES_PER_MS

    def further(self, results: Sequence[BlockResult]) -> list[BlockRequest]:
        """Draw the next steps of every path; the block that feeds them back, none at the end."""
        series, num, horizon = self.values.shape
        first, count = self._drawn, min(self._trained, horizon - self._drawn)
        # Each path of a series gets a copy, so nothing may be in it that is not drawn from.
        said = self._of_each([result.outputs[0][:, 0, :count] for result in results], first)
        shape = (series, num, count, said.shape[-1])
        drawn = self._draw(said[:, :count].reshape(shape).astype(np.float64))
        self.values[:, :, first : first + count] = drawn
        self._drawn += count
        if self._drawn == horizon:
            if horizon > self._trained:
                self.beyond = [self._table(paths[:, self._trained :]) for paths in self.values]
            return []
        rows = self._of_each([result.rows for result in results], first)
        steps = np.stack([history.steps_ahead(first, count) for history in self._histories])
        fed = np.repeat(steps[:, None], num, axis=1)
        fed[..., VALUE] = drawn
        return [BlockRequest(fed.reshape(series * num, count, fed.shape[-1]), Read.LAST, rows)]

    def _of_each(self, parts: Sequence[NDArray[np.float32]], drawn: int) -> NDArray[np.float32]:
        """What the network gave for each path; at first it gave it for each series, in its own order."""
        array = np.concatenate(parts)
        return array if drawn else np.repeat(array[np.argsort(self._order)], self.num, axis=0)

    def _draw(self, said: Array) -> Array:
        """Values ``[series, num, count]`` from quantiles ``[series, num, count, trained]``, within bounds."""
        num, count = said.shape[1:3]
        steps = self._drawn + np.arange(count, dtype=np.uint64)
        innovations = normal(
            self._seed, np.arange(num, dtype=np.uint64)[:, None] * np.uint64(_STEPS_OF_A_PATH) + steps
        )
        drawn = self._quantiles.draw(said, _joined(said[..., -1] - said[..., 0], innovations))
        drawn = drawn.clip(-LARGEST_VALUE, LARGEST_VALUE)
        for place, history in enumerate(self._histories):
            drawn[place] = history.bounded(drawn[place])
        return drawn

    def _table(self, paths: Array) -> Array:
        quantiles = np.quantile(paths, self._levels, axis=0)
        return np.concatenate([paths.mean(axis=0)[:, None], quantiles.T], axis=1)


def _joined(widths: Array, innovations: Array) -> Array:
    """Normal scores ``[series, num, count]`` of neighbouring steps that belong together.

    A Gaussian copula of Markov form. A process whose innovations are as wide as the first step's, and whose
    spread grows to a step's width, correlates with the step before by the root of 1 - (first / width) ** 2:
    1 for a random walk far out, 0 where the width does not grow.
    """
    growth = widths[..., :1].clip(_TINY) / widths.clip(_TINY)
    kept = np.sqrt((1.0 - growth * growth).clip(0.0, _MOST_CORRELATION**2))
    new = np.sqrt(1.0 - kept * kept)
    scores = np.empty(widths.shape)
    scores[..., 0] = innovations[:, 0]
    for step in range(1, widths.shape[-1]):
        scores[..., step] = kept[..., step] * scores[..., step - 1] + new[..., step] * innovations[:, step]
    return scores
