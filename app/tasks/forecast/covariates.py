"""The covariates of a request, as a forecaster reads them; what is missing is named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.features.frequency import Frequency
from app.tasks.forecast.covariate_spec import CovariateReader, CovariateSpec, Told
from app.tasks.forecast.schema import LARGEST_VALUE, NOTHING, Given

Array = NDArray[np.float64]
_KINDS = ("future", "past", "static")
_WHAT = {
    "future": "its values over the series and the horizon",
    "past": "its values over the series",
    "static": "its word, or null where it is not known",
}


class Covariates:
    """Of the forecaster ``name@version``, which may have none."""

    def __init__(self, reference: str, spec: CovariateSpec | None) -> None:
        self._reference = reference
        self.spec = spec
        self.reader = CovariateReader(spec or CovariateSpec())
        self._names = [
            [each.name for each in part]
            for part in ((spec.future, spec.past, spec.static) if spec is not None else ((), (), ()))
        ]

    @property
    def names(self) -> dict[str, Any]:
        """For ``GET /models``; empty without covariates."""
        if self.spec is None:
            return {}
        names: dict[str, Any] = dict(zip(_KINDS[:2], self._names, strict=False))
        names["static"] = {each.name: list(each.values) for each in self.spec.static}
        if self.spec.holidays is not None:
            names["holidays"] = self.spec.holidays.region
        return {"covariates": names}

    def covered(self, given: Given, num: int) -> int | None:
        """Steps ahead of a series for which all was told that is known ahead; ``None``: any."""
        ahead = [len(given[0][name]) - num for name in self._names[0] if name in given[0]]
        return max(min(ahead), 0) if ahead else None

    def told(
        self,
        given: Given,
        num: int,
        ahead: int,
        start: datetime | None,
        frequency: Frequency | None,
        prefix: str,
    ) -> Told | None:
        """Of a series of ``num`` steps, for a forecast of ``ahead`` ones.

        Raises:
            InvalidInput: one is missing, or unlike what the model knows; names it.
        """
        self.check(given, prefix)
        if self.spec is None:
            return None
        future = [_known(given[0][name], f"{prefix}future.{name}", num, ahead) for name in self._names[0]]
        past = [_passed(given[1][name], f"{prefix}past.{name}", num) for name in self._names[1]]
        words = self._words(given[2], prefix)
        days = None
        if self.spec.holidays is not None:
            days = self.holidays(start, frequency, num + ahead, 0, f"{prefix}start")
        return self.reader.read(num, future, past, words, days)

    def holidays(
        self, start: datetime | None, frequency: Frequency | None, num: int, skip: int, field: str
    ) -> Array:
        """Of ``num`` steps behind the first ``skip`` ones; raises InvalidInput."""
        if start is None or frequency is None:
            raise InvalidInput(
                field, f"{self._reference} reads holidays, which the times tell: give start and freq"
            )
        try:
            return self.reader.holidays(start, frequency, num, skip)
        except InvalidInput as error:
            raise InvalidInput(field, error.message, allowed=error.allowed) from error
        except OverflowError as error:
            raise InvalidInput(field, "the steps leave the calendar (years 1 to 9999)") from error

    def check(self, given: Given, prefix: str) -> None:
        """That all that the model reads are there, and no others; raises InvalidInput."""
        for kind, names, parts in zip(_KINDS, self._names, given, strict=True):
            self._check(kind, names, parts, prefix)

    def _check(self, kind: str, names: list[str], parts: object, prefix: str) -> None:
        if not isinstance(parts, dict):
            raise InvalidInput(f"{prefix}{kind}", "covariates are given by their names")
        for name in parts:
            if name not in names:
                known = "no covariates" if self.spec is None else f"no {kind} covariate {name!r}"
                raise InvalidInput(
                    f"{prefix}{kind}.{name}", f"{self._reference} reads {known}", allowed=names
                )
        for name in names:
            if name not in parts:
                raise InvalidInput(
                    f"{prefix}{kind}.{name}",
                    f"{self._reference} needs the covariate {name!r}: {_WHAT[kind]}; in a table, name its "
                    f"column by {kind}={','.join(names)}",
                )

    def static(self, given: object, prefix: str) -> dict[str, str | None]:
        """The static covariates of a session; raises InvalidInput."""
        if not isinstance(given, dict):
            raise InvalidInput(f"{prefix}static", 'static covariates are words by name, as in {"shop": "a"}')
        self._check("static", self._names[2], given, prefix)
        return dict(zip(self._names[2], self._words(given, prefix), strict=True))

    def of_step(
        self, given: Given | None, static: dict[str, str | None], days: Array | None, field: str
    ) -> tuple[Told, int]:
        """The covariates of one step, and of how many steps ahead what is known was told.

        Args:
            given: known ahead, a number of the step itself or a list that begins with it; of the past, a
                number each. ``None`` for a step of a gap, of which nothing is known.
            static: of the session.
            days: holidays of the step and of those ahead.
            field: of the step.

        Raises:
            InvalidInput: one is missing or no number; names it.
        """
        assert self.spec is not None
        words = [static[each.name] for each in self.spec.static]
        if not field:
            unknown = np.array([np.nan])
            future, past = [unknown] * len(self._names[0]), [unknown] * len(self._names[1])
            return self.reader.read(1, future, past, words, days), 0
        told = given or NOTHING
        for kind, names, parts in zip(_KINDS[:2], self._names[:2], told[:2], strict=True):
            self._check(kind, names, parts, f"{field}.")
        future = [_listed(told[0][name], f"{field}.future.{name}") for name in self._names[0]]
        past = [_listed(told[1][name], f"{field}.past.{name}", 1) for name in self._names[1]]
        ahead = min((len(values) - 1 for values in future), default=0)
        return self.reader.read(1, future, past, words, days), ahead

    def _words(self, given: dict[str, Any], prefix: str) -> list[str | None]:
        """Of each static covariate its word; raises InvalidInput for one that training has not seen."""
        words = []
        for known in () if self.spec is None else self.spec.static:
            word = given[known.name]
            if word is not None and word not in known.values:
                raise InvalidInput(
                    f"{prefix}static.{known.name}",
                    f"{str(word)[:40]!r} is none of the words that {self._reference} knows; "
                    "null is any other",
                    allowed=list(known.values),
                )
            words.append(word)
        return words


def _known(values: Sequence[float | None], field: str, num: int, ahead: int) -> Array:
    """``[num + ahead]``, NaN where missing in the past."""
    if len(values) < num + ahead:
        raise InvalidInput(
            field,
            f"give {num + ahead} values, of {num} steps of the series and {ahead} ahead; got {len(values)}",
            allowed={"min_items": num + ahead},
        )
    known = np.array(values[: num + ahead], np.float64)
    missing = np.flatnonzero(np.isnan(known[num:]))
    if len(missing):
        raise InvalidInput(
            f"{field}.{num + missing[0]}", "what is known ahead is a number at each step ahead"
        )
    return known


def _passed(values: Sequence[float | None], field: str, num: int) -> Array:
    if len(values) != num:
        raise InvalidInput(field, f"give {num} values, as many as the series has; got {len(values)}")
    return np.array(values, np.float64)


def _listed(values: object, field: str, most: float = math.inf) -> Array:
    """A number or numbers of a step as ``[1 or more]``, NaN for null."""
    listed = values if isinstance(values, list) else [values]
    for place, value in enumerate(listed):
        if value is None and not place:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_VALUE:
            raise InvalidInput(
                field,
                f"give a finite number of at most {LARGEST_VALUE:g} in magnitude, or a list of them: of this "
                "step, then of those ahead",
                allowed={"min": -LARGEST_VALUE, "max": LARGEST_VALUE},
            )
    if not 1 <= len(listed) <= most:
        what = "at least the value of this step" if not listed else "one number: nothing ahead of it is read"
        raise InvalidInput(field, f"give {what}")
    return np.array(listed, np.float64)
