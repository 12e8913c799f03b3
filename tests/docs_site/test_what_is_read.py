"""What the page says of files is what the readers do."""

from __future__ import annotations

import re

from app.edge.http.body import UNTOLD_TYPES
from app.edge.http.form import FORM_TYPE
from app.features.frequency import parse_frequency
from app.features.table import MISSING, number_of
from app.features.times import READ, read_times
from app.tasks.forecast.csv_body import CSV_TYPES
from tests.docs_site.recorded import DOCS


def shown(kind: str) -> list[str]:
    """The examples in a row of the table."""
    page = (DOCS / "your-data.md").read_text()
    (row,) = re.findall(rf"^\| {kind} \| (.*) \|$", page[page.index("### What is read") :], re.MULTILINE)
    return re.findall(r"`([^`]+)`", row)


def test_the_content_types_are_read() -> None:
    """Those of the reader, those that say nothing, and forms."""
    *types, brace, bracket, form = shown("content types")
    assert (brace, bracket, form) == ("{", "[", FORM_TYPE)
    assert set(types) == {*CSV_TYPES, *UNTOLD_TYPES} - {""}


def test_the_numbers_are_read() -> None:
    """With points, and with commas where the file has decimal commas."""
    *plain, comma = shown("numbers")
    assert [number_of(cell) for cell in plain] == [1234.5, 1234.5, 1000]
    assert number_of(comma, decimal_comma=True) == 1234.5


def test_the_words_for_a_missing_value_are_read() -> None:
    """In any case."""
    assert {word.lower() for word in shown("missing values")} <= MISSING


def test_the_dates_are_read_and_are_those_of_the_error() -> None:
    """Each of the examples is a moment of January 2024."""
    *dates, named, parameter = shown("dates")
    assert (named, parameter) == ("timestamp", "time=")
    assert ", ".join([*dates, "Unix seconds and milliseconds"]) == READ
    for date in dates:
        (moment,) = read_times([date], [2], "date")
        assert (moment.year, moment.month) == (2024, 1), date


def test_the_frequencies_are_read() -> None:
    """By the codes that answers give back."""
    codes = shown("frequencies")
    assert [parse_frequency(code).code for code in codes] == codes
