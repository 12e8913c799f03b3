"""Batch work on a bucket: the same bytes as on this machine, resumed as there."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.batch.files import find_inputs
from app.batch.place import place_to_read
from tests.batch.conftest import Batch, daily
from tests.buckets import bucket_server

s3fs = pytest.importorskip("s3fs", reason="the [remote] extra is not installed")
arrow = pytest.importorskip("pyarrow.csv", reason="the [batch] extra is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="the [batch] extra is not installed")

WORDS = ("--horizon", "6", "--part-mb", "0.02")
WAIT_S = 120


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server with the bucket ``shop``."""
    with bucket_server(tmp_path, monkeypatch, "shop") as client:
        yield client


def keys(bucket: Any, prefix: str = "") -> list[str]:
    """Of the objects below, in order."""
    return [each["Key"] for each in bucket.list_objects_v2(Bucket="shop", Prefix=prefix).get("Contents", [])]


def content(bucket: Any, key: str) -> bytes:
    """Of an object."""
    read: bytes = bucket.get_object(Bucket="shop", Key=key)["Body"].read()
    return read


def test_a_folder_of_a_bucket_is_answered_as_one_of_this_machine(batch: Batch, bucket: Any) -> None:
    """Tables in several formats and folders; the answers as one file, and again as a folder of parts."""
    batch.write("in/a.csv", daily([f"a{number}" for number in range(40)]))
    batch.write("in/_notes.txt", "not a table")
    table = arrow.read_csv(io.BytesIO(daily([f"b{number}" for number in range(40)]).encode()))
    parquet.write_table(table, batch.folder / "in" / "b.parquet")
    for path in (batch.folder / "in").iterdir():
        bucket.upload_file(str(path), "shop", f"sales/2024/{path.name}")
    whole, parts = batch.folder / "whole.csv", batch.folder / "parts"
    assert batch("forecast", batch.folder / "in", whole, *WORDS) == 0, batch.said
    assert batch("forecast", batch.folder / "in", parts, *WORDS) == 0, batch.said

    assert batch("forecast", "s3://shop/sales/2024", "s3://shop/out/all.csv", *WORDS) == 0, batch.said
    assert "s3://shop/out/all.csv: 80 sequences, 480 rows" in batch.said
    assert content(bucket, "out/all.csv") == whole.read_bytes()
    assert keys(bucket, "out/") == ["out/all.csv"], "the parts are gone"
    assert batch("forecast", "s3://shop/sales/2024", "s3://shop/out/all.csv", *WORDS) == 2
    assert "is there already" in batch.said

    assert batch("forecast", "s3://shop/sales/2024", "s3://shop/parts", *WORDS) == 0, batch.said
    here = {path.name for path in parts.iterdir()}
    assert {key.removeprefix("parts/") for key in keys(bucket, "parts/")} == here
    assert all(
        content(bucket, f"parts/{name}") == (parts / name).read_bytes() for name in here - {"_job.json"}
    )
    assert batch("forecast", "s3://shop/sales/2024", "s3://shop/parts", *WORDS) == 0, batch.said
    assert "is complete already" in batch.said


def test_a_folder_of_many_objects_is_listed_and_not_asked_for_one_by_one(bucket: Any, tmp_path: Path) -> None:
    """Names, sizes and times come with the list."""
    for number in range(30):
        bucket.put_object(Bucket="shop", Key=f"in/{number % 3}/{number}.csv", Body=b"a,b\n1,2\n")
    log = tmp_path / "s3.log"
    before = len(log.read_text().splitlines())
    found = find_inputs(place_to_read("s3://shop/in"))
    assert [file.name for file in found] == sorted(f"{number % 3}/{number}.csv" for number in range(30))
    assert {file.size for file in found} == {8}
    assert all(file.stamp > 0 for file in found)
    assert len(log.read_text().splitlines()) - before < 10


def test_a_run_that_was_killed_goes_on(batch: Batch, bucket: Any) -> None:
    """With what is done; by several processes, into Parquet."""
    given = batch.write("big.csv", daily([f"s{number}" for number in range(400)]))
    bucket.upload_file(str(given), "shop", "big.csv")
    whole = batch.folder / "whole.parquet"
    assert batch("forecast", given, whole, *WORDS) == 0, batch.said
    process = batch.begin("forecast", "s3://shop/big.csv", "s3://shop/out.parquet", *WORDS, "--workers", "2")
    until = time.monotonic() + WAIT_S
    while len(keys(bucket, ".out.parquet.parts/_part-")) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert "out.parquet" not in keys(bucket)
    assert batch("forecast", "s3://shop/big.csv", "s3://shop/out.parquet", *WORDS) == 0, batch.said
    assert "done before" in batch.said
    assert content(bucket, "out.parquet") == whole.read_bytes()
    assert keys(bucket) == ["big.csv", "out.parquet"]


def test_mistakes_are_one_line(batch: Batch, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names the place."""
    given = batch.write("few.csv", daily(["a"]))
    bucket.upload_file(str(given), "shop", "few.csv")
    out = batch.folder / "out.csv"

    def said(given: Path | str, out: Path | str) -> str:
        assert batch("forecast", given, out, *WORDS) == 2, batch.said
        (line,) = batch.said.splitlines()
        return line

    assert "'s3://shop/none.csv'" in said("s3://shop/none.csv", out)
    assert "'s3://nobodys/few.csv'" in said("s3://nobodys/few.csv", out)
    assert "'s3://nobodys/out.csv'" in said(given, "s3://nobodys/out.csv")
    assert "'s3://'" in said("s3://", out)
    for other in ("gs://shop/few.csv", "file:///shop/few.csv", "https://shop/few.csv"):
        assert f"{other!r}: give a path" in said(other, out)
    assert "it must end in one of" in said(given, "s3://shop/out.xlsx")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    assert "cannot read 's3://shop/few.csv'" in said("s3://shop/few.csv", out)
    assert not out.exists()
