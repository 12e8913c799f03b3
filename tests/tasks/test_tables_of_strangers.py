"""Tables as people have them: exports of spreadsheets, tills, meters and data tools, with their habits."""

from __future__ import annotations

import contextlib
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.features.columns import Bounds, ReadSeries, read_columns
from app.features.layout import Layout
from app.features.table import read_table

BOUNDS = Bounds(1e30, 100, 100_000)


def read(data: str | bytes, **layout: Any) -> ReadSeries:
    """The series of a file."""
    body = data.encode() if isinstance(data, str) else data
    return read_columns(read_table(body), Layout(**layout), BOUNDS)


def series(data: str | bytes, **layout: Any) -> dict[str, list[float]]:
    """Values by the name of their series."""
    return {each.name: each.values.tolist() for each in read(data, **layout).columns}


@pytest.mark.parametrize(
    ("cells", "values", "delimiter"),
    [
        (["1\u202f234,5", "12\u202f000", "7,25"], [1234.5, 12000, 7.25], ";"),
        (["1\u00a0234,5", "2", "3"], [1234.5, 2, 3], ";"),
        (["1 234", "12 345 678", "5"], [1234, 12345678, 5], ";"),
        (["1'234.50", "12\u2019000", "5"], [1234.5, 12000, 5], ";"),
        (["1.234.567", "2.345", "8"], [1234567, 2345, 8], ";"),
        (["1.234,5", "-2.345", "0,125"], [1234.5, -2345, 0.125], "\t"),
        (["1,234", "2.5", "12,345"], [1234, 2.5, 12345], "\t"),
        (["1,234.5", "2,345", "3"], [1234.5, 2345, 3], "|"),
        (['"1,5"', '"2"', '"12,75"'], [1.5, 2, 12.75], ","),
        (["\u22121.5", "+2", ".5"], [-1.5, 2, 0.5], ","),
    ],
)
def test_thousands_and_decimals_of_other_countries(
    cells: list[str], values: list[float], delimiter: str
) -> None:
    """The whole file decides what a comma or a point means."""
    rows = "".join(f"{day}.01.2024{delimiter}{cell}\n" for day, cell in enumerate(cells, start=13))
    assert series(f"Datum{delimiter}Umsatz\n{rows}") == {"Umsatz": values}


def test_a_comma_that_may_be_either_is_refused() -> None:
    """A thousand times more or less is no matter of taste."""
    with pytest.raises(InvalidInput, match=r"line 2: '1,234' may be a thousand .* without the comma"):
        read("day\tv\n2024-01-01\t1,234\n2024-01-02\t2,345\n")


def test_a_till_with_branches_is_long_without_being_told() -> None:
    """The column of words tells the series; German dates and numbers, newest first."""
    days = range(28, 10, -1)
    text = "Filiale;Datum;Umsatz\n" + "".join(
        f"{shop};{day}.02.2024;{day},5\n" for day in days for shop in ("Köln", "Bonn")
    )
    expected = [day + 0.5 for day in sorted(days)]
    assert series(text) == {"Köln": expected, "Bonn": expected}
    assert series(text.encode("utf-16")) == series(text)
    assert series(b"\xef\xbb\xbf" + text.encode()) == series(text)


def test_numbers_that_tell_series_apart_need_a_name() -> None:
    """``id`` is one where times repeat; any other is named, and so are several together."""
    rows = [
        f"{shop},{item},2024-01-{day:02d},{day}" for shop in (1, 2) for item in (7, 8) for day in range(1, 6)
    ]
    text = "shop,item,date,sales\n" + "\n".join(rows) + "\n"
    with pytest.raises(InvalidInput, match=r"lines 2 and 7 .* id"):
        read(text)
    assert sorted(series(text, id="shop,item")) == ["1/7", "1/8", "2/7", "2/8"]
    one = "id,date,sales\n" + "".join(f"{n},2024-01-0{day},{day}\n" for n in (1, 2) for day in (1, 2, 3))
    assert series(one) == {"1": [1, 2, 3], "2": [1, 2, 3]}
    numbered = "id,date,sales\n1,2024-01-01,5\n2,2024-01-02,6\n3,2024-01-03,7\n"
    assert series(numbered) == {"id": [1, 2, 3], "sales": [5, 6, 7]}


def test_of_several_columns_of_words_the_one_is_taken_that_parts_the_rows() -> None:
    """The weather of a shop tells nothing apart; shop and item do so only together, and are asked for."""
    days = range(1, 9)
    rows = [f"{shop},{'wet' if day % 3 else 'dry'},2024-01-0{day},{day}" for day in days for shop in "AB"]
    text = "shop,weather,date,sales\n" + "\n".join(rows) + "\n"
    assert series(text) == {"A": list(days), "B": list(days)}
    assert list(read(text).notes) == ["weather"]
    rows = [f"{shop},{item},2024-01-0{day},{day}" for day in days for shop in "AB" for item in "xy"]
    text = "shop,item,date,sales\n" + "\n".join(rows) + "\n"
    with pytest.raises(InvalidInput, match=r"lines 2 and 3 .* name it with id"):
        read(text)
    assert list(series(text, id="shop,item")) == ["A/x", "A/y", "B/x", "B/y"]


def test_a_column_of_words_is_left_out_and_that_is_said() -> None:
    """Remarks beside the values; but a word among numbers is refused by line, with what to do about it."""
    text = "date,weather,t\n2024-01-01,rain,1\n2024-01-02,,2\n2024-01-03,sun,2\n"
    assert series(text) == {"t": [1, 2, 2]}
    assert read(text).notes == {"weather": "the column holds words, and was left out"}
    assert read(text, targets=("t",)).notes == {}
    alone = "date,weather\n2024-01-01,rain\n2024-01-02,sun\n"
    for wrong in (text.replace("rain", "0"), alone):
        with pytest.raises(InvalidInput, match=r"'(rain|sun)' is not a number; .* targets, .* id") as caught:
            read(wrong)
        assert caught.value.field == "weather"


def test_a_name_with_a_comma_is_one_target() -> None:
    """As a query writes several by commas."""
    text = 'date,"a, b",c\n2024-01-01,1,2\n2024-01-02,3,4\n'
    assert series(text, targets=("a", " b")) == {"a, b": [1, 3]}
    assert series(text, targets=("c",)) == {"c": [2, 4]}


@pytest.mark.parametrize(
    ("text", "code", "start"),
    [
        ("sales,date\n1,2024-01-01\n2,2024-01-02\n3,2024-01-03\n", "D", "2024-01-01T00:00:00"),
        (
            "Date;Time;P\n16/12/2006;17:24:00;4\n16/12/2006;17:25:00;?\n16/12/2006;17:26:00;5\n",
            "min",
            "2006-12-16T17:24:00",
        ),
        (
            "date,time,v\n1/13/2024,11:00 PM,1\n1/14/2024,12:00 AM,2\n1/14/2024,1:00 AM,3\n",
            "h",
            "2024-01-13T23:00:00",
        ),
        (
            "ts,v\n2024-01-01 00:00:00 +0100,1\n2024-01-01 00:15:00 +0100,2\n",
            "15min",
            "2024-01-01T00:00:00+01:00",
        ),
        ("d,v\n2024-1-5,1\n2024-1-12,2\n2024-1-19,3\n", "W", "2024-01-05T00:00:00"),
        (
            "d,v\n2024-01-31,1\n2024-02-29,2\n2024-03-29,3\n2024-04-30,4\n2024-05-31,5\n",
            "MS",
            "2024-01-31T00:00:00",
        ),
        ("d,v\n2024-02-01,1\n2024-05-01,2\n2024-08-01,3\n2024-11-01,3\n", "QS", "2024-02-01T00:00:00"),
        ("month,v\n11/2023,1\n12/2023,2\n01/2024,3\n", "MS", "2023-11-01T00:00:00"),
        ("Monat;v\n11-2023;1\n12-2023;2\n1-2024;3\n", "MS", "2023-11-01T00:00:00"),
        ("month;v\n11.2023;1\n12.2023;2\n01.2024;3\n", "MS", "2023-11-01T00:00:00"),
    ],
)
def test_times_wherever_and_however_they_stand(text: str, code: str, start: str) -> None:
    """Behind the values, in two columns, with an offset behind a blank, on anchor days."""
    columns, frequency, _, _ = read(text)
    assert frequency is not None
    assert (len(columns), frequency.code) == (1, code)
    assert columns[0].start is not None
    assert columns[0].start.isoformat() == start


@pytest.mark.parametrize(
    ("seconds", "off", "code"), [(10, 1, "10s"), (300, 20, "5min"), (3600, 300, "h"), (86_400, 1800, "D")]
)
def test_a_clock_that_is_not_kept_is_snapped_and_that_is_said(seconds: int, off: int, code: str) -> None:
    """Each value on the step that it is nearest to, which begins on a round time."""
    chance = random.Random(7)
    start = datetime(2024, 3, 1, 8)
    moments = [
        start + timedelta(seconds=n * seconds + chance.randint(-off, off)) for n in range(60) if n != 31
    ]
    text = "time,v\n" + "".join(f"{moment},{number}\n" for number, moment in enumerate(moments))
    (found,), frequency, notes, _ = read(text)
    assert frequency is not None
    assert (frequency.code, found.start) == (code, start)
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [31]
    assert f"off their {code} steps" in notes["v"]
    assert read(text, frequency=code).notes == notes


def test_a_first_row_that_is_late_does_not_shift_the_others() -> None:
    """The grid is that of most rows."""
    text = "time,v\n2024-01-01 00:00:03,0\n" + "".join(
        f"2024-01-01 00:{5 * n:02d}:00,{n}\n" for n in range(1, 12)
    )
    (found,), _, notes, _ = read(text)
    assert found.start == datetime(2024, 1, 1)
    assert notes == {
        "v": "times lie up to 3 s off their 5min steps; each value was taken to the nearest step"
    }


def test_a_weekly_value_on_the_tuesday_after_a_holiday_belongs_to_its_monday() -> None:
    """And the forecast goes on with Mondays."""
    days = [datetime(2024, 1, 1) + timedelta(days=7 * n + (n == 9)) for n in range(20)]
    (found,), frequency, notes, _ = read(
        "d,v\n" + "".join(f"{day.date()},{n}\n" for n, day in enumerate(days))
    )
    assert frequency is not None
    assert (frequency.code, found.start, found.values.tolist()) == ("W", days[0], list(range(20)))
    assert list(notes) == ["v"]


def test_events_at_any_time_are_no_series() -> None:
    """The line and the distance are said."""
    chance = random.Random(1)
    times = sorted(chance.randint(0, 86_400) for _ in range(50))
    text = "time,v\n" + "".join(f"{datetime(2024, 1, 1) + timedelta(seconds=s)},1\n" for s in times)
    with pytest.raises(InvalidInput, match=r"lines? \d+.*(off; is freq right|are one step)"):
        read(text)


CELLS = st.sampled_from(
    ["", "1", "-2,5", "1.234,5", "1,234", "1e400", "nan", "x", "12:30", "01/02/2024", "31.12.2024", "2024Q1"]
    + [f"2024-01-0{day}" for day in range(1, 8)]
    + [f"9999-12-31 23:59:5{second}" for second in range(8)]
    + [f"0001-01-01T00:00:0{second}+01:00" for second in range(8)]
)
HEADERS = st.lists(st.sampled_from(["date", "time", "ds", "y", "id", "a", "", "1", "2024-01-01"]), max_size=4)


@given(
    HEADERS,
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from([None, "D", "s", "h", "W", "B", "ME", "QS"]),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_whatever_comes_is_read_or_refused(
    header: list[str], rows: list[list[str]], delimiter: str, frequency: str | None, encoding: str
) -> None:
    """By name; and what is read has its values, and times that a calendar has."""
    text = "\n".join(delimiter.join(cells) for cells in (header, *rows))
    with contextlib.suppress(InvalidInput):
        found = read(text.encode(encoding), frequency=frequency)
        assert found.columns
        assert all(len(column.values) for column in found.columns)


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        (b"PK\x03\x04\x14\x00", "body", "spreadsheet or an archive; save the sheet as CSV"),
        (b"\x1f\x8b\x08\x00", "body", "gzip"),
        ("day,gr\u00f6\u00dfe\n2024-01-01,1\n".encode("latin-1"), "body", "not UTF-8: byte 6 .* iconv"),
        ('{"values": [1, 2, 3]}', "body", "no CSV but JSON; send it with content-type: application/json"),
        ("<!DOCTYPE html>\n<html>\n<body>\n", "body", "no CSV but a web page or XML"),
        ("2024-01-01,5\n2024-01-02,6\n", "body", "must name the columns"),
        ("# from the till\ndate,v\n2024-01-01,1\n", "body", "line 2 has 2 cells.* above the header"),
        ("date,v,v\n2024-01-01,1,2\n", "body", "same name, 'v'"),
        ("date,v\n2024-01-01,1\n02.01.2024,2\n", "date", "line 3: '02.01.2024' is written in another form"),
        ("date,v\n2024-01-01,1\n,2\n", "date", "line 3 has no time"),
        ("date,v\n2024-01-01,1\n2024-01-02,2\nTotal,3\n", "date", "line 4: 'Total' is not"),
        ("date,v\n44562,1\n44563,2\n", "time", "'44562' is none .* spreadsheet's number of a day"),
        ("t,v\n2024-01-01 01:00 CET,1\n2024-01-01 02:00 CET,2\n", "time", "names of time zones .* offset"),
        ("v,t\n1,2024-01-01 01:00 CET\n2,2024-01-01 02:00 CET\n", "time", "names of time zones .* offset"),
        (
            "date,v\n2024-01-01,1.5 \u20ac\n",
            "v",
            "line 2: '1.5 \u20ac' is not a number; write it without the",
        ),
        (
            "shop,ware,day,sold\nA,x,2024-01-01,1\nA,y,2024-01-01,2\nB,x,2024-01-01,3\nB,y,2024-01-01,4\n"
            "A,x,2024-01-02,1\nA,y,2024-01-02,2\nB,x,2024-01-02,3\nB,y,2024-01-02,4\n",
            "time",
            "lines 2 and 3 are one step .* as in id=shop,ware; where",
        ),
        (
            "ts,v\n" + "".join(f"2024-10-27 {hour:02d}:00,1\n" for hour in (0, 1, 2, 2, 3, 4)),
            "time",
            "lines 4 and 5 .* clocks were set back, write times with their offset",
        ),
    ],
)
def test_what_cannot_be_read_is_said_with_what_to_do(data: str | bytes, field: str, message: str) -> None:
    """Line, cell, and a way out."""
    with pytest.raises(InvalidInput, match=message) as caught:
        read(data)
    assert caught.value.field == field
