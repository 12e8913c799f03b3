"""Covariates in a forecaster: what the recurrent layers and the head read of them.

The recurrent layers read them at each step. The head reads of each horizon what is known ahead of it: as it
is, and as differences from the present and from the steps one season back, which the seasonal candidates
repeat. What a covariate does to a series it does to the mirror image the other way round, so each of the two
readings has weights of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.features.series import NUM_COLUMNS
from training.forecast.look_back import BUFFER, WINDOW
from training.forecast.memory import TOLD
from training.forecast.ops import Ops, T

# Of each horizon and covariate: as it is, from the present, from one season and from one long season before.
_HEARD = 4
# Where the two seasons are in what a view has told.
_SEASONS = (sum(TOLD[:7]), sum(TOLD[:8]))
# Of the lags that candidates look for (see training.forecast.memory), those one season back.
_SEASONS_BACK = np.eye(5)[:, [0, 3]]


@dataclass(frozen=True, slots=True)
class Beside:
    """How many covariates of a step are ``known`` ahead, and how many ``others`` there are."""

    known: int = 0
    others: int = 0

    @property
    def num(self) -> int:
        return self.known + self.others

    @property
    def read(self) -> int:
        """Inputs of the recurrent layers, of both readings."""
        return 2 * self.num

    @property
    def heard(self) -> int:
        """What the head is told of each horizon, for both readings."""
        return 2 * _HEARD * self.known

    @property
    def remembered(self) -> int:
        """Floats of the row."""
        return WINDOW * self.known

    def columns(self, horizon: int) -> int:
        """Of a step, those of the series included."""
        return NUM_COLUMNS + self.num + horizon * self.known

    def remember(self, ops: Ops[T], covariates: T, past: T) -> tuple[T, T]:
        """What is known ahead, from 366 steps before the first one on, and the last 366 steps of it.

        Args:
            covariates: ``[batch, time, k]``, the columns behind those of the series.
            past: ``[batch, 366 * known]``.
        """
        before = ops.unflat(past, self.known)
        passed = ops.concat([before, ops.part(covariates, 0, self.known)], 1)
        return passed, ops.flat(ops.cut(passed, -WINDOW, None))

    def hear(self, ops: Ops[T], covariates: T, passed: T, told: T, position: T, found: T, horizon: int) -> T:
        """What the head is told of each horizon, ``[batch, num, horizon, 1, 4 known]``.

        Args:
            covariates, told, position: of the origins, ``[batch, num, 1, 1, k]``; see
                :class:`training.forecast.look_back.View`.
            passed: as :meth:`remember` gives it.
            found: which lags there were, ``[batch, num, horizon, 1, 5]``.
            horizon: how many steps ahead.
        """
        now = ops.part(covariates, 0, self.known)
        ahead = ops.part(covariates, self.num, self.num + horizon * self.known)
        ahead = ops.fold(ahead, horizon, self.known)
        far = ops.constant(np.arange(1.0, horizon + 1)[:, None, None])
        seasons = ops.part(told, *_SEASONS)
        nearest = ops.ceil(far / seasons) * seasons - far
        index = position - nearest - float(BUFFER - WINDOW)
        there = found @ ops.constant(_SEASONS_BACK)
        differences = []
        for column in range(self.known):
            buffer = ops.flat(ops.part(passed, column, column + 1))
            value = ops.part(ahead, column, column + 1)
            differences.append((value - ops.gather(buffer, index)) * there)
        return ops.concat([ahead, ahead - now, *differences])


NONE = Beside()
