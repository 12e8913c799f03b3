"""What a forecast must know of the values before it, besides the network's state."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# Of the values: so many zeros, and nothing below, are no chance.
_MANY_ZEROS = 0.1
# Values after which the spread that a network expects is right on clean series.
_ENOUGH = 8
# As a part of the largest value: what is nearer to zero is float32's noise; and where all values are zero.
_NOISE = 1e-9
_NOISE_OF_ZEROS = 1e-12


class Seen(NamedTuple):
    """Of the values so far: how many, how many zeros, whether all are whole, the least and the greatest
    magnitude.

    ``least`` is ``None`` where it is not known, as in sessions that an earlier release opened.
    """

    values: int = 0
    zeros: int = 0
    whole: bool = True
    least: float | None = 0.0
    largest: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        """Of values ``[time]``, NaN where missing, at least one of them known."""
        missing = int(np.count_nonzero(np.isnan(values)))
        if missing == len(values):
            return cls()
        least, most = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
        observed = len(values) - missing
        if least < 0.0:
            return cls(observed, 0, False, least, max(most, -least))
        whole = int(np.count_nonzero(values == np.floor(values))) == observed
        zeros = 0 if least else int(np.count_nonzero(values == 0.0))
        return cls(observed, zeros, whole, 0.0, most)

    @classmethod
    def in_context(cls, context: dict[str, Any]) -> Self:
        return cls(**context["seen"]) if "seen" in context else cls(least=None)

    def with_value(self, value: float) -> Seen:
        return Seen(
            values=self.values + 1,
            zeros=self.zeros + (value == 0),
            whole=self.whole and value.is_integer(),
            least=None if self.least is None else min(self.least, value),
            largest=max(self.largest, abs(value)),
        )

    @property
    def enough(self) -> bool:
        """Whether the spread of the series is more than a guess."""
        return self.values >= _ENOUGH or self.least is None

    @property
    def noise(self) -> float:
        """What of a forecast is nothing, where the series is of this size."""
        if self.least is None:
            return 0.0
        return _NOISE * self.largest or _NOISE_OF_ZEROS

    @property
    def low(self) -> float | None:
        """0 for counts: nothing below it, and all of them whole or many zeros."""
        if self.least is None or self.least < 0:
            return None
        return 0.0 if self.whole or self.zeros >= _MANY_ZEROS * self.values else None
