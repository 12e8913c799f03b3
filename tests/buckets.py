"""An S3 server in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
_WAIT_S = 60


@contextmanager
def bucket_server(folder: Path, patch: pytest.MonkeyPatch, name: str) -> Iterator[Any]:
    """A client of it, with the empty bucket ``name``; programs find it by their environment.

    Args:
        folder: of its log.
        patch: sets the environment.
        name: of the bucket.
    """
    boto3 = pytest.importorskip("boto3", reason="the [test] extra is not installed")
    s3fs = pytest.importorskip("s3fs", reason="the [remote] extra is not installed")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    log = folder / "s3.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file)
    try:
        until = time.monotonic() + _WAIT_S
        while (found := _ADDRESS.search(log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "the S3 server does not start"
            time.sleep(0.02)
        patch.setenv("AWS_ENDPOINT_URL_S3", found[0])
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket=name)
        yield client
    finally:
        # Kept by their options, the address in the environment is none of them.
        s3fs.S3FileSystem.clear_instance_cache()
        process.terminate()
        process.wait(10)
