"""Covariates: what else is known of a series at each of its steps, as numbers that a network reads.

    given values, static words, times --CovariateSpec--> Told --widen--> columns behind those of the series

Columns of a step: what is known ahead (values told beforehand, then holidays), values known only of the past,
and a column for each word of what never changes; then what is known ahead at each of the next ``horizon``
steps. What is not known is 0, which of a number is its mean in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.bundle.manifest import Section
from app.core.errors import InvalidInput
from app.features.calendar import advance, timestamps
from app.features.frequency import Frequency, Unit
from app.features.series import COLUMNS

Array = NDArray[np.float64]
# So many spreads from the mean a value says no more than that it is far away.
_FARTHEST = 10.0
_HOLIDAY_COLUMNS = ("holiday", "before a holiday", "after a holiday")
_DAY_S = 86_400
# A covariate that varies by less than this part of its mean is constant.
_LEAST_VARIATION = 1e-9


class Scaled(Section):
    """A covariate of numbers: what is subtracted from them, and what they are divided by."""

    name: str = Field(min_length=1)
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)


class Words(Section):
    """A covariate that never changes along a series, and the words that training saw."""

    name: str = Field(min_length=1)
    values: tuple[str, ...] = Field(min_length=1)


class Holidays(Section):
    """The days of a region, of whole years, as training knew them."""

    region: str = Field(min_length=1)
    dates: tuple[date, ...] = Field(min_length=1, description="ascending")


class CovariateSpec(Section):
    """The covariates of a forecaster."""

    future: tuple[Scaled, ...] = Field((), description="known ahead, such as a price")
    past: tuple[Scaled, ...] = Field((), description="known up to now, such as the number of visitors")
    static: tuple[Words, ...] = ()
    holidays: Holidays | None = None

    @property
    def known(self) -> int:
        """Columns that are known ahead."""
        return len(self.future) + (0 if self.holidays is None else len(_HOLIDAY_COLUMNS))

    @property
    def others(self) -> int:
        return len(self.past) + sum(len(each.values) for each in self.static)

    def columns(self, horizon: int) -> tuple[str, ...]:
        known = [each.name for each in self.future]
        if self.holidays is not None:
            known += _HOLIDAY_COLUMNS
        others = [each.name for each in self.past]
        others += [f"{each.name} {value}" for each in self.static for value in each.values]
        ahead = [f"{name} +{step}" for step in range(1, horizon + 1) for name in known]
        return (*known, *others, *ahead)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """The covariates of a series: ``known`` ``[time or more, known]``, ``others`` ``[time, others]``."""

    known: NDArray[np.float32]
    others: NDArray[np.float32]

    def widened(self, x: NDArray[np.float32], horizon: int, first: int = 0) -> NDArray[np.float32]:
        """Steps ``[time, 12]`` of the series, from its ``first`` one on, with all columns of the covariates.

        What is known ahead is 0 where it was not told.
        """
        time, known = len(x), self.known.shape[1]
        ahead = np.zeros((time + horizon, known), np.float32)
        told = self.known[first : first + len(ahead)]
        ahead[: len(told)] = told
        windows = np.lib.stride_tricks.sliding_window_view(ahead[1:], horizon, axis=0)[:time]
        others = np.zeros((time, self.others.shape[1]), np.float32)
        passed = self.others[first : first + time]
        others[: len(passed)] = passed
        parts = (x, ahead[:time], others, windows.transpose(0, 2, 1).reshape(time, horizon * known))
        return np.concatenate(parts, axis=1)


class CovariateReader:
    """Values as they are given, to numbers; of one forecaster."""

    def __init__(self, spec: CovariateSpec) -> None:
        self.spec = spec

    def read(
        self,
        num: int,
        future: Sequence[Array],
        past: Sequence[Array],
        static: Sequence[str | None],
        days: Array | None = None,
    ) -> Told:
        """The covariates of ``num`` steps.

        Args:
            num: steps of the series.
            future: one array for each covariate known ahead, NaN where missing; steps ahead may follow.
            past: ``[num]`` for each.
            static: a word for each, ``None`` where it is not known.
            days: as :meth:`holidays` gives them.
        """
        spec = self.spec
        longest = max([num, *map(len, future), *([] if days is None else [len(days)])])
        known = np.zeros((longest, spec.known), np.float32)
        for column, (each, values) in enumerate(zip(spec.future, future, strict=True)):
            known[: len(values), column] = _scaled(each, values)
        if days is not None:
            known[: len(days), len(spec.future) :] = days
        others = np.zeros((num, spec.others), np.float32)
        for column, (each, values) in enumerate(zip(spec.past, past, strict=True)):
            others[:, column] = _scaled(each, values)
        place = len(spec.past)
        for words, word in zip(spec.static, static, strict=True):
            if word is not None:
                others[:, place + words.values.index(word)] = 1.0
            place += len(words.values)
        return Told(known, others)

    def holidays(self, start: datetime, frequency: Frequency, num: int, skip: int = 0) -> Array:
        """``[num, 3]``: of steps up to a day, whether they fall on a holiday, the day before or after one.

        Of longer steps, how many holidays lie in them.

        Raises:
            InvalidInput: the steps leave the years of the table.
            OverflowError: they leave the calendar.
        """
        table = self._table
        days = _days(start, frequency, num + 1, skip)
        first, last = date.fromordinal(int(table[0])).year, date.fromordinal(int(table[-1])).year
        for place in (0, max(num - 1, 0)):
            moment = date.fromordinal(int(days[place]))
            if not first <= moment.year <= last:
                raise InvalidInput(
                    "start",
                    f"{moment.isoformat()} lies outside the holidays that the model knows, {first} to {last}",
                    allowed={"min": f"{first}-01-01", "max": f"{last}-12-31"},
                )
        found = np.zeros((num, len(_HOLIDAY_COLUMNS)))
        if frequency.unit is Unit.MONTH or frequency.count > _DAY_S:
            found[:, 0] = np.diff(np.searchsorted(table, days))
        else:
            for column, shift in enumerate((0, 1, -1)):
                found[:, column] = np.isin(days[:num] + shift, table)
        return found

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        assert self.spec.holidays is not None
        return np.array([day.toordinal() for day in self.spec.holidays.dates])


def _days(start: datetime, frequency: Frequency, num: int, skip: int) -> NDArray[np.int64]:
    """The days that steps begin on, as ordinals."""
    if frequency.unit is Unit.SECOND:
        advance(start, frequency, skip + num)
        begin = start.replace(tzinfo=None) - datetime(1, 1, 1)
        seconds = begin.days * _DAY_S + begin.seconds + frequency.count * (skip + np.arange(num))
        return np.asarray(seconds // _DAY_S + 1, np.int64)
    return np.array([moment.toordinal() for moment in timestamps(start, frequency, num, skip=skip)])


def all_columns(spec: CovariateSpec | None, horizon: int) -> tuple[str, ...]:
    """Of a step of a forecaster with these covariates."""
    return COLUMNS if spec is None else COLUMNS + spec.columns(horizon)


def fit_scaled(name: str, values: Sequence[Array]) -> Scaled:
    """What a covariate is measured in: the mean and deviation without the farthest values.

    Zeros and ones stay as they are.
    """
    joined = np.concatenate([each[np.isfinite(each)] for each in values])
    if not len(joined) or np.isin(joined, (0.0, 1.0)).all():
        return Scaled(name=name)
    low, high = np.quantile(joined, (0.005, 0.995))
    kept = np.clip(joined, low, high)
    mean, least = float(kept.mean()), _LEAST_VARIATION * float(np.abs(kept).max())
    scale = next((each for each in (float(kept.std()), float(joined.std())) if each > least), 1.0)
    return Scaled(name=name, mean=mean, scale=scale)


def _scaled(each: Scaled, values: Array) -> NDArray[np.float32]:
    scaled = np.clip((values - each.mean) / each.scale, -_FARTHEST, _FARTHEST)
    return np.where(np.isnan(scaled), 0.0, scaled).astype(np.float32)
