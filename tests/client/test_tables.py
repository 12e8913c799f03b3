"""Tables of pandas as the server is sent them, and answers as tables; no server is needed for that."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from rnnserve_client import SyncClient, to_pandas
from rnnserve_client.tables import csv_of, query_of

DAYS = pandas.date_range("2024-03-01", periods=2, freq="D")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (pandas.Series([1.5, None]), "value\n1.5\n\n"),
        (pandas.Series([1, 2], index=DAYS, name="shop"), "time,shop\n2024-03-01,1\n2024-03-02,2\n"),
        (pandas.DataFrame({0: [1, 2]}, index=DAYS.rename("day")), "day,0\n2024-03-01,1\n2024-03-02,2\n"),
        (pandas.DataFrame({"time": [1, 2]}, index=DAYS), "time_,time\n2024-03-01,1\n2024-03-02,2\n"),
        (pandas.Series([1, 2], index=DAYS.to_period("M")), "time,value\n2024-03-01,1\n2024-03-01,2\n"),
        (
            pandas.Series(
                [1, 2], index=pandas.date_range("2024-03-31 01:00", periods=2, freq="h", tz="Europe/Berlin")
            ),
            "time,value\n2024-03-31 01:00:00+01:00,1\n2024-03-31 03:00:00+02:00,2\n",
        ),
        (
            pandas.Series(
                [1, 2, 3, 4],
                name="y",
                index=pandas.MultiIndex.from_product([["a", "b"], DAYS], names=["unique_id", "ds"]),
            ),
            "unique_id,ds,y\na,2024-03-01,1\na,2024-03-02,2\nb,2024-03-01,3\nb,2024-03-02,4\n",
        ),
    ],
    ids=["gap", "times", "named times", "a column called time", "periods", "clock change", "two levels"],
)
async def test_what_is_sent(table: pandas.DataFrame, text: str) -> None:
    """Times of the index come first; without any there are values alone."""
    expected = text.replace("\n\n", '\n""\n')
    assert (await csv_of(table)).decode() == expected


def test_fields_beside_a_table() -> None:
    """Lists by commas; what is not given is not sent."""
    fields = {"horizon": 3, "levels": [80, 95.5], "season": None, "freq": "D", "own": True}
    assert query_of(fields) == {"horizon": "3", "levels": "80,95.5", "freq": "D", "own": "true"}


def test_a_row_for_each_result() -> None:
    """Objects become columns, lists of objects rows, too."""
    trace = [{"token": "a", "scores": {"good": 0.1}}, {"token": "b", "scores": {"good": 0.7}}]
    frame = to_pandas(
        {"model": "m@1", "results": [{"label": "good", "scores": {"good": 0.7}, "trace": trace}]}
    )
    assert frame.to_dict("list") == {
        "label": ["good", "good"],
        "scores.good": [0.7, 0.7],
        "trace.token": ["a", "b"],
        "trace.scores.good": [0.1, 0.7],
        "step": [1, 2],
    }


def test_times_whose_offset_changes() -> None:
    """Over a clock change they are in UTC."""
    times = ["2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"]
    frame = to_pandas({"forecasts": [{"timestamps": times, "mean": [1.0, 2.0]}]})
    assert [str(time) for time in frame["timestamps"]] == [
        "2024-03-31 00:00:00+00:00",
        "2024-03-31 01:00:00+00:00",
    ]


@pytest.mark.parametrize("answer", [{"a": 1}, {"a": [1]}, {"a": [{}], "b": [{}]}])
def test_what_is_no_table(answer: dict[str, object]) -> None:
    """There must be one list of results."""
    with pytest.raises(ValueError, match="an answer with one list of results is needed"):
        to_pandas(answer)


def test_what_cannot_be_sent() -> None:
    """Is told before anything is; a text is no series."""
    with SyncClient("http://127.0.0.1:9") as client:
        with pytest.raises(ValueError, match="/forecast: the request cannot be written as JSON"):
            client.forecast([1, float("inf")], horizon=1)
        with pytest.raises(TypeError, match="a file is named by a Path"):
            client.forecast("sales.csv", horizon=1)  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(OSError, match="nowhere"):
            client.forecast(Path("nowhere.csv"), horizon=1)
