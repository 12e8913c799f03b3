"""Series from files, their splits, and windows that never see beyond them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from app.core.errors import DataError
from app.features import series as columns
from app.features.layout import Layout
from training.forecast.kinds import HOURLY
from training.forecast.library import aggregated, with_validation
from training.forecast.series import Series
from training.forecast.series_csv import CsvLayout, minimum_length, read_series
from training.forecast.windows import WindowConfig, WindowSampler

CONFIG = WindowConfig(batch_size=16, length=24, prefix=30, origins=5, horizon=6)


def make_series(num: int = 80, train_end: int = 60) -> Series:
    """Hourly numbers 1, 2, 3, ... of which the last twenty are not for training."""
    values = np.arange(1.0, num + 1)
    return Series("a", "test", values, datetime(2024, 1, 1), HOURLY, train_end, num - 10)


def write(folder: Path, text: str) -> Path:
    """A CSV file."""
    path = folder / "sales.csv"
    path.write_text(text)
    return path


def daily(num: int, *, skip: tuple[int, ...] = ()) -> str:
    """A wide CSV of two daily series, without some of its rows."""
    start = np.datetime64("2024-01-01")
    rows = [f"{start + k},{k},{10 * k}" for k in range(num) if k not in skip]
    return "\n".join(["day,a,b", *rows])


def test_windows_never_see_beyond_the_training_part() -> None:
    """Changing every value after the training part changes no bit of any window or target."""
    item = make_series()
    changed = replace(item, values=np.where(np.arange(80) < 60, item.values, 1e9))
    for one, other in zip(
        WindowSampler([item], [1], CONFIG).batches(20, np.random.default_rng(5)),
        WindowSampler([changed], [1], CONFIG).batches(20, np.random.default_rng(5)),
        strict=True,
    ):
        for name in one.__slots__:
            assert torch.equal(getattr(one, name), getattr(other, name))
        assert float(one.targets.max()) <= 60


def test_targets_are_the_values_after_each_origin() -> None:
    """With values that count their own step, a target is the origin's value plus the horizon."""
    config = replace(CONFIG, drop_values=0.0)
    batch = WindowSampler([make_series()], [1], config).batch(np.random.default_rng(1))
    origin = batch.x[..., columns.VALUE].gather(1, batch.origins)
    expected = origin.unsqueeze(2) + torch.arange(1.0, 7.0)
    assert torch.equal(batch.targets * batch.known, expected * batch.known)
    assert torch.equal(batch.known.bool(), expected <= 60)
    assert bool(batch.known.any(dim=(1, 2)).all())


def test_the_prefix_is_what_comes_before_the_window() -> None:
    """A window's prefix ends right before its first step, or is empty."""
    config = replace(CONFIG, drop_values=0.0)
    batch = WindowSampler([make_series()], [1], config).batch(np.random.default_rng(2))
    last, first = batch.prefix[:, -1, columns.VALUE], batch.x[:, 0, columns.VALUE]
    observed = batch.prefix[:, -1, columns.OBSERVED] > 0
    assert bool(observed.any())
    assert not bool(observed.all())
    assert torch.equal(last[observed] + 1, first[observed])


def test_series_shorter_than_the_window_are_padded_behind() -> None:
    """A short series fills the front of a window; no origin lies in the padding."""
    item = make_series(num=20, train_end=12)
    batch = WindowSampler([item], [1], CONFIG).batch(np.random.default_rng(3))
    used = (batch.x[..., columns.VALUE] > 0).sum(1)
    assert int(used.max()) < 12
    assert bool((batch.origins < 12).all())
    assert bool((batch.x[..., columns.SEASON] == 24).all())


def test_with_validation_extends_the_training_part_only_to_the_test() -> None:
    """The last run may train on validation parts, never on test parts."""
    assert with_validation([make_series()])[0].train_end == 70


def test_means_are_made_of_the_training_part_alone() -> None:
    """A coarser series ends where the training part ends; a short one is not made."""
    coarse = aggregated(make_series(), HOURLY, 2)
    assert coarse is not None
    assert coarse.values.tolist() == [1.5 + 2 * k for k in range(30)]
    assert coarse.train_end == 30
    assert aggregated(make_series(), HOURLY, 6) is None


def test_a_wide_csv_is_one_series_per_column_with_gaps_put_back(tmp_path: Path) -> None:
    """Every value column is a series; a missing row is a missing value; parts are chronological."""
    path = write(tmp_path, daily(60, skip=(7, 8)))
    series, _ = read_series(path, CsvLayout(Layout(time="day")), horizon=5)
    assert [item.id for item in series] == ["a", "b"]
    first = series[0]
    assert len(first.values) == 60
    assert np.flatnonzero(np.isnan(first.values)).tolist() == [7, 8]
    assert first.start == datetime(2024, 1, 1)
    assert (first.kind.index, first.kind.season) == (1, 7)
    assert (first.train_end, first.validation_end) == (48, 54)


def test_a_long_csv_is_one_series_per_id_in_any_order(tmp_path: Path) -> None:
    """Rows are put in the order of their times, series by series."""
    start = np.datetime64("2024-01-01")
    rows = [f"{start + k},{shop},{k + 100 * j}" for k in range(40) for j, shop in enumerate(("x", "y"))]
    path = write(tmp_path, "\n".join(["day,shop,sold", *reversed(rows)]))
    series, _ = read_series(path, CsvLayout(Layout(time="day", targets=("sold",), id="shop")), horizon=4)
    found = {item.id: item.values for item in series}
    np.testing.assert_array_equal(found["x"], np.arange(40.0))
    np.testing.assert_array_equal(found["y"], np.arange(40.0) + 100)


def test_a_csv_without_times_is_a_series_of_unknown_frequency(tmp_path: Path) -> None:
    """Neither time nor frequency is needed; a season can still be told."""
    path = write(tmp_path, "y\n" + "\n".join(str(k) for k in range(50)))
    item = read_series(path, CsvLayout(season=6), horizon=3)[0][0]
    assert (item.start, item.kind.frequency, item.kind.season) == (None, None, 6)


@pytest.mark.parametrize("missing", ["", "NA", "nan", "null"])
def test_missing_cells_are_missing_values(tmp_path: Path, missing: str) -> None:
    """The usual spellings of "no value" are not errors."""
    path = write(tmp_path, "x,y\n" + "\n".join(["1,1", f'1,"{missing}"', *("1,2" for _ in range(40))]))
    assert np.isnan(read_series(path, CsvLayout(), horizon=2)[0][1].values[1])


@pytest.mark.parametrize(
    ("text", "layout", "message"),
    [
        (daily(60), CsvLayout(Layout(time="date")), r"no column 'date'; allowed: day, a, b"),
        (daily(60), CsvLayout(Layout(time="day", targets=("c",))), r"no column 'c'"),
        (
            daily(60).replace("2024-01-03", "soon"),
            CsvLayout(Layout(time="day")),
            r"line 4: 'soon' is not an ISO 8601 date",
        ),
        (
            daily(60).replace("\n2024-01-03,2,", "\n2024-01-03,two,"),
            CsvLayout(Layout(time="day")),
            r"column 'a', line 4: 'two' is not a number",
        ),
        (
            daily(60).replace(",2,20", ",inf,20"),
            CsvLayout(Layout(time="day")),
            r"column 'a', line 4: 'inf' is not a finite",
        ),
        (
            daily(60).replace(",2,20", ",2"),
            CsvLayout(Layout(time="day")),
            r"line 4 has 2 cells, but the header has 3",
        ),
        (
            daily(60).replace("2024-01-03", "2024-01-02"),
            CsvLayout(Layout(time="day")),
            r"lines 3 and 4 are one step",
        ),
        (daily(60), CsvLayout(Layout(time="day", frequency="fortnight")), r"unknown frequency 'fortnight'"),
        (
            daily(60).replace("2024-01-03", "2024-01-03T05:00"),
            CsvLayout(Layout(time="day")),
            r"line 4: .* whole number",
        ),
        (daily(60), CsvLayout(Layout(time="day", frequency="min")), r"is freq right"),
        (daily(60), CsvLayout(Layout(time="day"), season=400), r"season is 400; it must be 1 to 366"),
        (daily(12), CsvLayout(Layout(time="day")), r"18 steps are needed, the longest has 12"),
        ("day,a", CsvLayout(Layout(time="day")), r"a header but no rows"),
        ("day\n2024-01-01", CsvLayout(Layout(time="day")), r"no column of values"),
    ],
)
def test_csv_errors_name_the_place(tmp_path: Path, text: str, layout: CsvLayout, message: str) -> None:
    """What is wrong with a file is said with its line and column, and what would be right."""
    with pytest.raises(DataError, match=message):
        read_series(write(tmp_path, text), layout, horizon=5)


def test_unreadable_files_are_data_errors(tmp_path: Path) -> None:
    """A missing file and one that is not UTF-8 text are told apart from a crash."""
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00y")
    for path in (tmp_path / "none.csv", binary):
        with pytest.raises(DataError, match="cannot read"):
            read_series(path, CsvLayout(), horizon=2)


def test_what_the_server_reads_is_trained_on(tmp_path: Path) -> None:
    """Semicolons, decimal commas, and a time column that nobody named: one reader for both sides."""
    rows = [f"{day:02d}.03.2024;{day},5" for day in range(1, 31)]
    (item,), _ = read_series(write(tmp_path, "\n".join(["Datum;Umsatz", *rows])), CsvLayout(), horizon=3)
    assert (item.id, item.start, item.kind.season) == ("Umsatz", datetime(2024, 3, 1), 7)
    np.testing.assert_array_equal(item.values, np.arange(1, 31) + 0.5)


@pytest.mark.parametrize("horizon", [1, 4, 12, 40])
def test_the_shortest_series_is_split_in_three(tmp_path: Path, horizon: int) -> None:
    """At the minimum length each part still has what its purpose needs."""
    num = minimum_length(horizon)
    path = write(tmp_path, "y\n" + "\n".join(str(k) for k in range(num)))
    item = read_series(path, CsvLayout(), horizon)[0][0]
    assert item.train_end >= 8
    assert item.validation_end - item.train_end >= horizon
    assert num - item.validation_end >= horizon


def test_made_up_series_have_no_frequency_that_a_network_of_one_file_does_not_know() -> None:
    """They are "other" to it; windows of the real series keep theirs."""
    item = Series("a", "t", np.arange(60.0), None, HOURLY, 60, 60)
    config = WindowConfig(batch_size=32, length=40, origins=2, horizon=3, drop_frequency=0.0, drop_season=0.0)
    sampler = WindowSampler([item], [1.0], config, 0.7, 60, num_frequencies=2)
    (batch,) = sampler.batches(1, np.random.default_rng(0))
    made = batch.series < 0
    assert bool(made.any())
    frequencies = batch.x[..., 2].numpy()
    assert set(frequencies[made.numpy()].ravel()) <= {0.0, 1.0}
    assert set(frequencies[~made.numpy()].ravel()) == {1.0}
