"""Tables that strangers bring: their times, spacings, numbers and headers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.features.calendar import timestamps
from app.features.columns import Bounds, Column, read_columns
from app.features.frequency import Frequency, infer_frequency, parse_frequency
from app.features.layout import Layout
from app.features.table import MISSING, number_of, read_table

BOUNDS = Bounds(1e30, 100, 100_000)


def read(text: str, **layout: Any) -> tuple[list[Column], Frequency | None]:
    """The series of a CSV."""
    found = read_columns(read_table(text.encode()), Layout(**layout), BOUNDS)
    return found.columns, found.frequency


def column(cells: list[str], header: str = "date", delimiter: str = ",") -> str:
    """A CSV of these times and the values 0, 1, 2, ..."""
    rows = [f'"{cell}"{delimiter}{number}' for number, cell in enumerate(cells)]
    return "\n".join([f"{header}{delimiter}sales", *rows]) + "\n"


DAYS = [datetime(2024, 1, 20) + timedelta(days=day) for day in range(30)]
MONTHS = [datetime(2023 + month // 12, month % 12 + 1, 1) for month in range(20)]
YEARS = [datetime(1990 + year, 1, 1) for year in range(12)]


@pytest.mark.parametrize(
    ("write", "moments", "code"),
    [
        (lambda t: t.strftime("%Y-%m-%d"), DAYS, "D"),
        (lambda t: t.strftime("%Y-%m-%d %H:%M:%S"), DAYS, "D"),
        (lambda t: t.strftime("%Y-%m-%dT00:00:00Z"), DAYS, "D"),
        (lambda t: t.strftime("%Y-%m-%d 00:00 UTC"), DAYS, "D"),
        (lambda t: t.strftime("%Y/%m/%d"), DAYS, "D"),
        (lambda t: t.strftime("%Y.%m.%d"), DAYS, "D"),
        (lambda t: t.strftime("%Y%m%d"), DAYS, "D"),
        (lambda t: t.strftime("%d.%m.%Y"), DAYS, "D"),
        (lambda t: t.strftime("%d.%m.%y"), DAYS, "D"),
        (lambda t: t.strftime("%d/%m/%Y"), DAYS, "D"),
        (lambda t: t.strftime("%m/%d/%Y"), DAYS, "D"),
        (lambda t: f"{t.month}/{t.day}/{t.year}", DAYS, "D"),
        (lambda t: t.strftime("%m/%d/%Y 12:00 AM"), DAYS, "D"),
        (lambda t: t.strftime("%d-%m-%Y"), DAYS, "D"),
        (lambda t: t.strftime("%d %b %Y"), DAYS, "D"),
        (lambda t: t.strftime("%d-%b-%Y"), DAYS, "D"),
        (lambda t: t.strftime("%B %d, %Y"), DAYS, "D"),
        (lambda t: t.strftime("%Y-%m"), MONTHS, "MS"),
        (lambda t: t.strftime("%Y%m"), MONTHS, "MS"),
        (lambda t: t.strftime("%b %Y"), MONTHS, "MS"),
        (lambda t: t.strftime("%b-%Y"), MONTHS, "MS"),
        (lambda t: t.strftime("%B %Y"), MONTHS, "MS"),
        (lambda t: f"{t.year}Q{t.month // 3 + 1}", MONTHS[::3], "QS"),
        (lambda t: f"{t.year}-Q{t.month // 3 + 1}", MONTHS[::3], "QS"),
        (lambda t: f"Q{t.month // 3 + 1} {t.year}", MONTHS[::3], "QS"),
        (lambda t: t.strftime("%Y"), YEARS, "YS"),
        (lambda t: f"{t.year + (t.month - 1) / 12:.4f}", MONTHS, "MS"),
        (lambda t: str(int((t - datetime(1970, 1, 1)).total_seconds())), DAYS, "D"),
        (lambda t: str(int((t - datetime(1970, 1, 1)).total_seconds() * 1000)), DAYS, "D"),
    ],
)
def test_times_are_read_in_each_usual_form(
    write: Callable[[datetime], str], moments: list[datetime], code: str
) -> None:
    """Start and frequency are those of the times, and no column of times is forecast."""
    (found,), frequency = read(column([write(moment) for moment in moments]))
    assert frequency is not None
    assert (found.name, found.start and found.start.replace(tzinfo=None)) == ("sales", moments[0])
    assert frequency.code == code
    assert found.values.tolist() == list(range(len(moments)))


def test_days_and_months_that_cannot_be_told_apart_are_refused() -> None:
    """A guess would be wrong for half of the world."""
    with pytest.raises(InvalidInput, match="day or the month") as caught:
        read(column(["01/02/2024", "02/02/2024", "03/02/2024"]))
    assert caught.value.field == "date"


@pytest.mark.parametrize("header", ["date", "Date", "timestamp", "ds", "year", "Month"])
def test_a_column_named_as_times_that_holds_none_is_never_forecast(header: str) -> None:
    """It is refused, with what to do."""
    with pytest.raises(InvalidInput, match="time=") as caught:
        read(column(["7", "3", "12"], header))
    assert caught.value.field == "time"


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "index"])
def test_the_index_of_a_data_tool_is_no_series(header: str) -> None:
    """Neither when it counts nor when it holds the times."""
    (found,), frequency = read(column(["0", "1", "2"], header))
    assert (found.name, found.values.tolist(), frequency) == ("sales", [0, 1, 2], None)
    (found,), frequency = read(column(["2024-01-01", "2024-01-02"], header))
    assert (found.name, frequency and frequency.code) == ("sales", "D")
    text = f"{header},date,sales\n0,2024-01-01,5\n1,2024-01-02,6\n"
    (found,), frequency = read(text)
    assert (found.name, frequency and frequency.code, found.values.tolist()) == ("sales", "D", [5, 6])


def test_numbers_that_are_no_times_stay_a_series() -> None:
    """Four digits are years only under a name that says so."""
    columns, frequency = read("stock,sold\n2000,1\n2001,2\n2002,3\n")
    assert ([each.name for each in columns], frequency) == (["stock", "sold"], None)


@pytest.mark.parametrize("identifier", ["unique_id", "Item_ID", "series_id"])
def test_long_tables_are_told_by_their_id(identifier: str) -> None:
    """One series for each id, numeric ids too, each on its own grid; rows in any order."""
    text = (
        f"{identifier},ds,y\n1001,2024-01-03,3\n7,2024-02-01,9\n1001,2024-01-01,1\n"
        "7,2024-02-02,8\n1001,2024-01-02,2\n"
    )
    columns, frequency = read(text)
    assert frequency is not None
    assert frequency.code == "D"
    assert {each.name: (each.values.tolist(), each.start) for each in columns} == {
        "1001": ([1, 2, 3], datetime(2024, 1, 1)),
        "7": ([9, 8], datetime(2024, 2, 1)),
    }
    again, _ = read(text.replace(identifier, "shop"), id="shop", time="ds", targets=("y",))
    assert [each.name for each in again] == ["1001", "7"]


def test_newest_first_is_read_and_one_time_twice_is_not() -> None:
    """Both lines are named."""
    (found,), _ = read("date,a\n2024-01-03,3\n2024-01-02,2\n2024-01-01,1\n")
    assert found.values.tolist() == [1, 2, 3]
    with pytest.raises(InvalidInput, match=r"lines 3 and 4 .* id"):
        read("date,a\n2024-01-01,1\n2024-01-02,2\n2024-01-02,3\n2024-01-03,3\n")


SPACINGS = (
    *("s", "30s", "90s", "min", "5min", "h", "6h", "D", "2D", "28D", "30D", "90D", "91D", "365D", "W", "2W"),
    *("4W", "13W", "B", "MS", "2MS", "4MS", "6MS", "24MS", "120MS", "ME", "QS", "QE", "YS", "YE"),
)


@pytest.mark.parametrize("code", SPACINGS)
def test_every_spacing_is_told_from_its_times(code: str) -> None:
    """And the code that is told reads back as the same frequency."""
    frequency = parse_frequency(code)
    start = datetime(2021, 1, 31) if code.endswith("E") else datetime(2021, 1, 1)
    if code == "YE":
        start = datetime(2021, 12, 31)
    moments = timestamps(start, frequency, 30)
    assert infer_frequency(moments) == frequency
    assert parse_frequency(frequency.code) == frequency
    (found,), told = read(column([moment.isoformat() for moment in moments]))
    assert (told, len(found.values)) == (frequency, 30)


@given(
    st.sampled_from([code for code in SPACINGS if code not in ("B",)]),
    st.sets(st.integers(2, 60), max_size=25),
)
def test_gaps_do_not_change_the_spacing(code: str, gone: set[int]) -> None:
    """What is missing becomes missing values, as long as most steps are there."""
    frequency = parse_frequency(code)
    start = datetime(2015, 12, 31) if code.endswith("E") else datetime(2015, 1, 1)
    moments = timestamps(start, frequency, 120)
    kept = [moment for number, moment in enumerate(moments) if number not in gone]
    (found,), told = read(column([moment.isoformat() for moment in kept]))
    assert told == frequency
    assert len(found.values) == 120
    assert set(np.flatnonzero(np.isnan(found.values)).tolist()) == gone


def test_a_sensor_that_is_milliseconds_off_is_on_its_grid() -> None:
    """Nine milliseconds of five minutes."""
    moments = [datetime(2024, 1, 1) + timedelta(minutes=5 * n, milliseconds=(9 * n) % 7) for n in range(50)]
    (found,), frequency = read(column([moment.isoformat() for moment in moments]))
    assert frequency is not None
    assert (frequency.code, len(found.values)) == ("5min", 50)


@pytest.mark.parametrize("code", ["W-FOO", "D-MON", "MS-JAN", "h-SUN", "QS-MON", "W-", "5"])
def test_anchors_that_mean_nothing_are_refused(code: str) -> None:
    """And those of pandas are read."""
    with pytest.raises(InvalidInput):
        parse_frequency(code)
    assert parse_frequency("W-MON") == parse_frequency("W")
    assert parse_frequency("QE-DEC") == parse_frequency("QE")


def berlin(moment: datetime) -> str:
    """With the offset of Berlin, whose clocks change at the end of March."""
    return moment.isoformat() + ("+01:00" if moment < datetime(2024, 3, 31, 2) else "+02:00")


@pytest.mark.parametrize(("step", "code"), [(1, "D"), (7, "W")])
def test_days_follow_the_clock_on_the_wall(step: int, code: str) -> None:
    """Midnight stays midnight when the clocks change, and the present offset comes back."""
    moments = [datetime(2024, 3, 1) + timedelta(days=step * n) for n in range(60)]
    (found,), frequency = read(column([berlin(moment) for moment in moments]))
    assert frequency is not None
    assert (frequency.code, len(found.values)) == (code, 60)
    assert found.start is not None
    assert found.start.isoformat() == "2024-03-01T00:00:00+02:00"


def test_hours_pass_by_the_clock() -> None:
    """The hour that is left out in March is no gap."""
    cells = [
        f"2024-03-31T{hour:02d}:00:00{'+01:00' if hour < 2 else '+02:00'}" for hour in range(24) if hour != 2
    ]
    (found,), frequency = read(column(cells))
    assert frequency is not None
    assert (frequency.code, len(found.values), np.isnan(found.values).sum()) == ("h", 23, 0)


def test_business_days_are_those_of_the_offset() -> None:
    """Monday midnight in Tokyo is Sunday in London."""
    days = [day for day in DAYS if day.weekday() < 5]
    (found,), frequency = read(column([f"{day.isoformat()}+09:00" for day in days]), frequency="B")
    assert frequency is not None
    assert (frequency.code, len(found.values)) == ("B", len(days))
    assert read(column([f"{day.isoformat()}+09:00" for day in days]))[1] == frequency


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("date;sales\n2024-01-01;1,5\n2024-01-02;2\n", ["sales"], [1.5, 2]),
        ("sep=;\ndate;sales\n2024-01-01;1.234,5\n2024-01-02;2\n", ["sales"], [1234.5, 2]),
        ('date,sales\n2024-01-01,"1,234.5"\n2024-01-02,"12,000"\n', ["sales"], [1234.5, 12000]),
        ("date|sales\n2024-01-01|1\n2024-01-02|2\n", ["sales"], [1, 2]),
        ('"a; b; c",date\n1,2024-01-01\n2,2024-01-02\n', ["a; b; c"], [1, 2]),
        ("date,sales,\n2024-01-01,1,\n2024-01-02,2,\n", ["sales"], [1, 2]),
        ("date,sales\n2024-01-01,1\n2024-01-02,2\n , \n,\n", ["sales"], [1, 2]),
        ("date,1001\n2024-01-01,1\n2024-01-02,2\n", ["1001"], [1, 2]),
        ("date,Inf\n2024-01-01,1\n2024-01-02,2\n", ["Inf"], [1, 2]),
        ("date,2023\n2024-01-01,+1\n2024-01-02,-2e0\n", ["2023"], [1, -2]),
    ],
)
def test_numbers_and_headers_of_spreadsheets(text: str, names: list[str], values: list[float]) -> None:
    """Delimiters, decimal commas, thousands, trailing commas, blank rows, numeric names."""
    layout = {"time": "date"} if text.startswith('"a;') else {}
    columns, _ = read(text, **layout)
    assert [each.name for each in columns] == names
    assert columns[0].values.tolist() == values


@pytest.mark.parametrize("word", sorted(MISSING))
def test_words_for_a_missing_value(word: str) -> None:
    """In either case, with blanks around them."""
    (found,), _ = read(f"t,a\n2024-01-01,1\n2024-01-02, {word} \n2024-01-03,{word.upper()}\n2024-01-04,4\n")
    assert np.isnan(found.values).tolist() == [False, True, True, False]


@pytest.mark.parametrize("text", ["1_000", "1,2,3", "0x10", "1e", "", "ten", "\uff11\uff12", "1 00", "--1"])
def test_what_is_no_number_is_none(text: str) -> None:
    """Python would read some of these."""
    assert number_of(text) is None


def test_utf16_is_read_and_latin1_is_refused_with_advice() -> None:
    """Bytes are never guessed at."""
    assert read_table("date,größe\n2024-01-01,1\n".encode("utf-16")).header == ["date", "größe"]
    with pytest.raises(InvalidInput, match="save it as UTF-8"):
        read_table("date,größe\n2024-01-01,1\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("day,\n2024-01-01,1\n2024-01-02,2\n", ["column 2"]),
        ("day,a,,b\n2024-01-01,1,2,3\n2024-01-02,2,3,4\n", ["a", "column 3", "b"]),
        ("unique_id,ds,\nx,2024-01-01,1\nx,2024-01-02,2\n", ["x"]),
    ],
)
def test_a_column_without_a_name_is_told_by_its_place(text: str, names: list[str]) -> None:
    """Never by the place that its values had in a request."""
    assert [each.name for each in read(text)[0]] == names
