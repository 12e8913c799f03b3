"""Downloading one file of the catalogue: whole and verified, or not there at all."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from app.core.errors import DataError
from training.data.content import content_sha256
from training.data.data_set import DataFile

TIMEOUT_S = 60.0


def fetch(entry: DataFile, local: Path) -> None:
    """Download ``entry`` to ``local``, in the form a data folder keeps it.

    The file appears under its name only once its content has been verified.

    Args:
        entry: what to download.
        local: where it goes; folders are made.

    Raises:
        DataError: it is not published as a file, the download fails, or its content is another.
    """
    if entry.url is None:
        raise DataError(f"{entry.path} cannot be downloaded: it is not published as a file")
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".fetching-", dir=local.parent))
    except OSError as error:
        raise DataError(f"cannot write to {str(local.parent)!r}: {error.strerror}") from error
    try:
        # The verification looks at the ending of the name.
        partial = folder / local.name
        _download(entry.url, partial)
        _repack(entry, partial)
        if content_sha256(partial) != entry.content:
            raise DataError(
                f"{entry.url} does not hold the content the recipe was written for (sha256 {entry.content})"
            )
        os.replace(partial, local)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        raise DataError(f"cannot download {url}: status {error.code}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot download {url}: {reason}") from error


def _repack(entry: DataFile, file: Path) -> None:
    if entry.form == "zip member":
        try:
            with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
                file.write_bytes(gzip.compress(archive.read(entry.member), mtime=0))
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{entry.url} does not hold {entry.member}") from error
    elif entry.form == "gzipped here":
        file.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
