"""A column of times, in whichever of the usual forms it is written.

The form is decided by the whole column, never cell by cell: ``03/04/2024`` is April in a file that has
``13/04/2024``, and March in one that has ``03/13/2024``; a file that has neither is refused as ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from app.core.errors import InvalidInput
from app.features.calendar import parse_timestamp
from app.features.frequency import MONTH_NAMES

READ: Final = (
    "2024-01-31, 2024-01-31T13:00+01:00, 2024-01, 2024, 20240131, 202401, 31.01.2024, 31/01/2024, "
    "01/31/2024, 01/31/2024 1:00 PM, 01/2024, 2024Q1, Jan 2024, 31 Jan 2024, Unix seconds and milliseconds"
)
_MONTHS = {name: month for month, name in enumerate(MONTH_NAMES, start=1)}
_CLOCK = r"(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?)?"
_THREE = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})" + _CLOCK)
_YEAR_FIRST = re.compile(r"(\d{4})([./-])(\d{1,2})\2(\d{1,2})" + _CLOCK)
_MONTH_FIRST = re.compile(r"(\d{1,2})[./-](\d{4})")
_QUARTER = re.compile(r"(\d{4})[ -]?[Qq]([1-4])|[Qq]([1-4])[ /-]?(\d{4})")
_NAMED = re.compile(
    r"(?:(\d{1,2})[ .-]+)?([A-Za-z]{3,9})\.?[ -]+(?:(\d{1,2})(?:st|nd|rd|th)?,[ ]*)?(\d{4})" + _CLOCK
)
_TIME_NAMES = re.compile(
    r"(observation_?)?(date|time|datetime|timestamp|ds|day|week|month|quarter|year|period|epoch|when)",
    re.IGNORECASE,
)
_CLOCK_NAMES = re.compile(r"(time|hour|clock)", re.IGNORECASE)
_CLOCK_ALONE = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?")
_NO_NAME = re.compile(r"(unnamed: ?\d+|index)?", re.IGNORECASE)
_ZONE = re.compile(r"(.*\d:\d{2})\s+[A-Z]{3,4}")
_MAX_SHOWN = 40
# From 1973 to 2603 in seconds, and the same in milliseconds.
_SECONDS = (10**8, 2 * 10**10)


def names_times(header: str) -> bool:
    return _TIME_NAMES.fullmatch(header.strip()) is not None


def is_nameless(header: str) -> bool:
    """Whether a column has no name of its own, as the index that pandas writes."""
    return _NO_NAME.fullmatch(header.strip()) is not None


def is_time(cell: str) -> bool:
    """Whether a cell is a time by its form, whatever its column is called; numbers are not."""
    return not cell.lstrip("+-").replace(".", "", 1).isdigit() and _form_of(cell) is not None


def hint_of(cell: str) -> str:
    """What to do with a cell that is nearly a time; empty where it is far from one."""
    zone = _ZONE.fullmatch(cell)
    if zone is not None and _form_of(zone[1]) is not None:
        return "names of time zones are not read: write the offset from UTC, as in 2024-01-31T13:00+01:00"
    # From 1954 to 2064.
    if re.fullmatch(r"[2-5]\d{4}", cell):
        return "if it is a spreadsheet's number of a day, have the column written as dates"
    return ""


def is_clock(header: str, cells: Sequence[str]) -> bool:
    """Whether a column holds the times of day that belong to the dates of another."""
    return _CLOCK_NAMES.fullmatch(header.strip()) is not None and all(map(_CLOCK_ALONE.fullmatch, cells))


def looks_like_times(header: str, cells: Sequence[str]) -> bool:
    """Whether a first column is the time column: by what it holds, and for numbers also by its name."""
    known = [cell for cell in cells if cell]
    if not known:
        return False
    if not known[0].lstrip("+-").replace(".", "", 1).isdigit():
        return is_time(known[0])
    if not (names_times(header) or is_nameless(header)):
        # Eight digits that are a date in every row are one, whatever the column is called.
        return all(len(cell) == 8 for cell in known) and _compact(known) is not None
    return _numeric(known) is not None


def read_times(cells: Sequence[str], lines: Sequence[int], column: str) -> list[datetime]:
    """The times of a column; each with its offset from UTC where all have one. ``lines`` are for errors.

    Raises:
        InvalidInput: a cell is in none of the forms that are read, or in another one than the others, or the
            order of day and month cannot be told; names line and column.
    """
    if all(cell.replace(".", "", 1).isdigit() for cell in cells):
        found = _numeric(cells)
        if found is not None:
            return found
        raise InvalidInput(column, f"line {lines[0]}: {cells[0][:_MAX_SHOWN]!r} is no time; read are {READ}")
    form = _form_of(cells[0])
    if form is _day_month:
        return _day_month_column(cells, lines, column)
    moments: list[datetime] = []
    for cell, line in zip(cells, lines, strict=True):
        moment = None if form is None else form(cell)
        if moment is None:
            what = f"line {line}: {cell[:_MAX_SHOWN]!r} is not an ISO 8601 date or time"
            if form is not None and _form_of(cell) is not None:
                what = f"line {line}: {cell!r} is written in another form than {cells[0]!r}"
            elif not cell:
                what = f"line {line} has no time; write it, or leave the row out"
            raise InvalidInput(column, f"{what}; read are {READ}")
        moments.append(moment)
    if any(moment.tzinfo is None for moment in moments):
        return [moment.replace(tzinfo=None) for moment in moments]
    return moments


Form = Callable[[str], datetime | None]


def _form_of(cell: str) -> Form | None:
    forms: tuple[Form, ...] = (_iso, _year_first, _month_first, _quarter, _named, _day_month)
    return next((form for form in forms if form(cell) is not None), None)


def _iso(cell: str) -> datetime | None:
    cleaned = re.sub(r" ?(UTC|GMT|Z)$", "+00:00", cell)
    cleaned = re.sub(r" (?=[+-]\d{2}:?\d{2}$)", "", cleaned)
    try:
        return parse_timestamp(cleaned)
    except ValueError:
        return None


def _year_first(cell: str) -> datetime | None:
    match = _YEAR_FIRST.fullmatch(cell)
    return None if match is None else _moment(match[1], match[3], match[4], match.groups()[4:])


def _month_first(cell: str) -> datetime | None:
    match = _MONTH_FIRST.fullmatch(cell)
    return None if match is None else _moment(match[2], match[1], "1", (None,) * 4)


def _quarter(cell: str) -> datetime | None:
    match = _QUARTER.fullmatch(cell)
    if match is None:
        return None
    return datetime(int(match[1] or match[4]), 3 * int(match[2] or match[3]) - 2, 1)


def _named(cell: str) -> datetime | None:
    match = _NAMED.fullmatch(cell)
    month = None if match is None else _MONTHS.get(match[2][:3].lower())
    if match is None or month is None:
        return None
    return _moment(match[4], str(month), match[1] or match[3] or "1", match.groups()[4:])


def _day_month(cell: str) -> datetime | None:
    """Either order, for telling the form."""
    match = _THREE.fullmatch(cell)
    if match is None:
        return None
    clock = match.groups()[4:]
    return _moment(match[4], match[3], match[1], clock) or _moment(match[4], match[1], match[3], clock)


def _day_month_column(cells: Sequence[str], lines: Sequence[int], column: str) -> list[datetime]:
    matches = [_THREE.fullmatch(cell) for cell in cells]
    orders: dict[str, list[datetime]] = {}
    for order, (day, month) in {"day first": (1, 3), "month first": (3, 1)}.items():
        moments = [
            None if match is None else _moment(match[4], match[month], match[day], match.groups()[4:])
            for match in matches
        ]
        known = [moment for moment in moments if moment is not None]
        if len(known) == len(cells):
            orders[order] = known
    if not orders:
        line = next((line for line, match in zip(lines, matches, strict=True) if match is None), lines[0])
        raise InvalidInput(column, f"line {line}: not a date like those before it; read are {READ}")
    if matches[0] is not None and matches[0][2] == "." and "day first" in orders:
        return orders["day first"]
    if len(orders) == 2 and orders["day first"] != orders["month first"]:
        raise InvalidInput(
            column,
            f"line {lines[0]}: {cells[0]!r} may begin with the day or the month, and no row tells which; "
            "write dates as 2024-01-31",
        )
    return next(iter(orders.values()))


def _moment(year: str, month: str, day: str, clock: Sequence[str | None]) -> datetime | None:
    hour, minute, second, half = clock
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < 69 else 1900
    hours = int(hour or 0)
    if half is not None:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    try:
        return datetime(number, int(month), int(day), hours, int(minute or 0), int(second or 0))
    except ValueError:
        return None


def _numeric(cells: Sequence[str]) -> list[datetime] | None:
    """Dates without separators, years, or Unix times; ``None`` where it is none of these."""
    compact = _compact(cells)
    if compact is not None:
        return compact
    months = [_month_first(cell) for cell in cells]
    known = [month for month in months if month is not None and 1000 <= month.year < 3000]
    if len(known) == len(cells):
        return known
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return None
    for scale in (1, 1000):
        if all(_SECONDS[0] * scale <= number < _SECONDS[1] * scale for number in numbers):
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            return [(epoch + timedelta(seconds=number / scale)).replace(tzinfo=None) for number in numbers]
    return _decimal_years(cells, numbers)


def _compact(cells: Sequence[str]) -> list[datetime] | None:
    """``YYYYMMDD``, ``YYYYMM`` or ``YYYY``."""
    form = {8: "%Y%m%d", 6: "%Y%m", 4: "%Y"}.get(len(cells[0]))
    if form is None or any(len(cell) != len(cells[0]) or not cell.isdigit() for cell in cells):
        return None
    try:
        moments = [datetime.strptime(cell, form) for cell in cells]
    except ValueError:
        return None
    return moments if all(1000 <= moment.year < 3000 for moment in moments) else None


def _decimal_years(cells: Sequence[str], numbers: Sequence[float]) -> list[datetime] | None:
    """Years with a fraction, such as 1958.2027, to the nearest month; they ascend by a month or more."""
    if not any("." in cell for cell in cells) or not all(1000 <= number < 3000 for number in numbers):
        return None
    places = [int(number) * 12 + round(number % 1 * 12) for number in numbers]
    if any(later <= earlier for earlier, later in pairwise(places)):
        return None
    return [datetime(place // 12, place % 12 + 1, 1) for place in places]
