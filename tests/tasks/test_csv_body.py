"""CSV bodies: the same request as JSON, or a mistake named by line and column."""

from __future__ import annotations

import pytest

from app.core.errors import InvalidInput
from app.features.table import read_table
from app.tasks.forecast.csv_body import CsvQuery, read_csv
from app.tasks.forecast.schema import NOT_TOLD, ForecastLimits, ForecastRequest

LIMITS = ForecastLimits(max_points=1000, max_series=5)


def read(text: str | bytes, **query: object) -> ForecastRequest:
    """The request in a CSV text."""
    body = text if isinstance(text, bytes) else text.encode()
    return read_csv(body, CsvQuery.model_validate({"horizon": 3} | query), LIMITS)


def test_a_time_column_and_two_series() -> None:
    """Start and frequency come from the times; each column is a series named by its header."""
    request = read("day,a,b\n2024-01-01,1,10\n2024-01-02,2,20\n2024-01-03,3.5,-30\n")
    first, second = request.all_series()
    assert (first.id, first.values, first.start, first.freq) == ("a", [1, 2, 3.5], "2024-01-01T00:00:00", "D")
    assert (second.id, second.values) == ("b", [10, 20, -30])


def test_no_time_column() -> None:
    """Columns of numbers alone have no start and no frequency, unless the query names one."""
    (series,) = read("sales\n1\n2\n").all_series()
    assert (series.id, series.values, series.start, series.freq) == ("sales", [1, 2], None, None)
    (series,) = read("sales\n1\n2\n", freq="W").all_series()
    assert series.freq == "W"


def test_a_time_column_that_is_not_the_first_is_named_in_the_query() -> None:
    """Only the first column is looked at otherwise."""
    (series,) = read("a,when\n1,2024-01\n2,2024-02\n", time="when").all_series()
    assert (series.id, series.values, series.freq) == ("a", [1, 2], "MS")


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "NaN", "null", "None", "n/a"])
def test_empty_cells_are_missing(cell: str) -> None:
    """The words that data tools write for nothing mean nothing."""
    (series,) = read(f"t,a\n2024-01-01,1\n2024-01-02,{cell}\n2024-01-03,3\n").all_series()
    assert series.values == [1, None, 3]


def test_rows_that_the_times_skip_are_missing() -> None:
    """A gap in the time column becomes nulls in every series."""
    text = "t,a,b\n2024-01-01,1,5\n2024-01-02,2,6\n2024-01-05,3,7\n2024-01-06,4,8\n"
    first, second = read(text).all_series()
    assert first.values == [1, 2, None, None, 3, 4]
    assert second.values == [5, 6, None, None, 7, 8]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_told_from_the_header(delimiter: str) -> None:
    """Commas, semicolons and tabs."""
    text = "t,a\n2024-01-01,1.5\n2024-01-02,2\n".replace(",", delimiter)
    assert read(text).all_series()[0].values == [1.5, 2]


def test_quotes_line_ends_blank_lines_and_a_byte_order_mark() -> None:
    """What spreadsheets write is read."""
    text = b'\xef\xbb\xbf"t","a, b"\r\n"2024-01-01","1"\r\n\r\n2024-01-02,2\r\n'
    (series,) = read(text).all_series()
    assert (series.id, series.values) == ("a, b", [1, 2])


def test_the_query_reaches_the_request() -> None:
    """Lists are written by commas."""
    request = read("a\n1\n2\n", horizon="5", levels="80,95", season="7", model="m@1")
    assert (request.horizon, request.levels, request.season, request.model) == (5, [80, 95], [7], "m@1")
    assert read("a\n1\n2\n", quantiles="0.1,0.5").quantiles == [0.1, 0.5]
    request = read("a\n1\n2\n", season="168,24", min="null", max="9.5", samples="3", seed="7")
    assert (request.season, request.horizon, request.samples, request.seed) == ([168, 24], 3, 3, 7)
    (series,) = request.all_series()
    assert (series.min, series.max) == (None, 9.5)
    (series,) = read("a\n1\n2\n").all_series()
    assert series.min is NOT_TOLD


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("", "body", "empty"),
        ("\n\n", "body", "empty"),
        ("a,b\n", "body", "no rows"),
        ("1,2\n3,4\n", "body", "must name the columns"),
        ("a,a\n1,2\n", "body", "same name"),
        ("t\n2024-01-01\n2024-01-02\n", "body", "no column of values"),
        ("a,b\n1,2\n3\n", "body", "line 3 has 1 cells, but the header has 2"),
        ("a\n1\nx\n", "a", "line 3: 'x' is not a number; .* targets"),
        ("a\n1\ninf\n", "a", "line 3: 'inf' is not a finite number"),
        ("a\n1\n1e31\n", "a", "line 3"),
        ("t,a\n2024-01-01,1\nsoon,2\n", "t", "line 3: 'soon' is not an ISO 8601"),
        (
            "t,a\n2024-01-01,1\n2024-01-01,2\n",
            "time",
            "lines 2 and 3 .* 2024-01-01T00:00:00; .* id; .* merge",
        ),
        ("t,a\n2024-01-02,1\n2024-01-01,2\n2024-01-02,3\n", "time", "lines 2 and 4 .* 2024-01-02T00:00:00"),
        (
            "t,a\n2023-01-01,1\n2023-02-01,1\n2023-03-01,1\n2023-03-20,1\n2023-04-20,1\n",
            "time",
            "line 4: .* is freq right",
        ),
        ("t,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n2024-01-03,3\n", "time", "lines 4 and 5"),
        ("t,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n2024-01-03T12:00,3\n", "time", "whole number"),
        ("t,a\n2024-01-01,1\n", "time", "at least two"),
        ("a,b,c,d,e,f\n1,2,3,4,5,6\n", "body", "6 series, more than the limit of 5"),
        ("a\n" + "1\n" * 1001, "body", "more than 1000 observations"),
        ("t,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n2044-01-01,3\n", "body", "counting those"),
        (b"a\n\xff\n", "body", "not UTF-8"),
        ('a\n"1\n', "body", "not CSV"),
    ],
)
def test_mistakes_are_named(text: str | bytes, field: str, message: str) -> None:
    """The line, the column and the cell are in the message."""
    with pytest.raises(InvalidInput, match=message) as caught:
        read(text)
    assert caught.value.field == field


def test_a_time_column_that_is_not_there_is_named() -> None:
    """The columns that are there are listed."""
    with pytest.raises(InvalidInput, match="no column 'when'") as caught:
        read("a\n1\n", time="when")
    assert caught.value.allowed == ["a"]


def test_columns_are_counted_before_they_are_cut() -> None:
    """A line is cut in one go, and a million names are not compared each with each."""
    many = ",".join(f"c{number}" for number in range(99_999)) + "\n" + "1," * 99_998 + "1\n"
    assert len(read_table(many.encode()).header) == 99_999
    for text in ("," * 3_000_000 + "\n1\n", "a\n" + "1," * 100_000 + "1\n"):
        with pytest.raises(InvalidInput, match=r"line [12] of the CSV has more than 100000 cells"):
            read_table(text.encode())


@pytest.mark.parametrize(
    ("text", "header", "cells"),
    [
        ("a,b,,\n1,2,,\n3,4,,\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
        ("a,b,,\n1,2,3,\n3,4,,\n", ["a", "b", ""], [["1", "2", "3"], ["3", "4", ""]]),
        ("a,,\n1\n2\n", ["a"], [["1"], ["2"]]),
        ("a,\n1,2,\n", ["a", ""], [["1", "2", ""]]),
        ("a,b\n1,2,\n3,4,,\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
    ],
)
def test_empty_columns_at_the_end_are_taken_off(text: str, header: list[str], cells: list[list[str]]) -> None:
    """No value is among them."""
    if any(len(row) != len(header) for row in cells):
        with pytest.raises(InvalidInput, match="has 3 cells, but the header has 2 columns"):
            read_table(text.encode())
        return
    table = read_table(text.encode())
    assert (table.header, [row.cells for row in table.rows]) == (header, cells)
