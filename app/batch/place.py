"""Where files lie: on this machine, or in a bucket, as ``s3://bucket/sales``, by universal_pathlib.

Credentials are those of each library's own variables, such as ``AWS_*``. An object is there as a whole or not
at all, once it has been sent; nobody can hold a folder of them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from app.core.errors import ConfigurationError

_BUCKET = "s3://"


def place_to_read(text: str) -> Path:
    """A path, or of a bucket what is used like one; raises ConfigurationError for any other address.

    A bucket is listed once: asking for each of its objects would take minutes where there are thousands.
    """
    return _place(text, listed_once=True)


def place_to_write(text: str) -> Path:
    """The same; other processes write there as well, so it is looked at each time."""
    return _place(text, listed_once=False)


def _place(text: str, *, listed_once: bool) -> Path:
    if not text.startswith(_BUCKET):
        if "://" in text:
            raise ConfigurationError(f"{text!r}: give a path, or a bucket's address as s3://bucket/sales.csv")
        return Path(text)
    if not text.removeprefix(_BUCKET).strip("/"):
        raise ConfigurationError(f"{text!r} names no bucket; give one, as in s3://bucket/sales.csv")
    try:
        import s3fs  # noqa: F401  # a missing one would be told with the first file
        from upath import UPath
    except ImportError as error:
        raise ConfigurationError(
            f"{text}: buckets need more packages: pip install '.[remote]' in a checkout"
        ) from error
    return cast(Path, UPath(text.rstrip("/"), use_listings_cache=listed_once))


def is_remote(path: Path) -> bool:
    return not isinstance(path, Path)


def readable(path: Path) -> Any:
    """What a library takes that knows files, and those of this machine by their path."""
    return path.open("rb") if is_remote(path) else path


def below(path: Path, folder: Path) -> Path:
    """A path from a folder on."""
    return Path(*path.parts[len(folder.parts) :])


def troubles() -> tuple[type[Exception], ...]:
    """What files raise: a bucket's say in their own way that they have no credentials, or do not answer."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError,) if botocore is None else (OSError, botocore.BotoCoreError, botocore.ClientError)


def reason(error: Exception) -> str:
    """Of one of :func:`troubles`, in words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def sent(path: Any) -> Iterator[Path]:
    """A file of this machine, which goes to ``path`` at the end, unless something went wrong."""
    with tempfile.TemporaryDirectory(prefix="rnnserve-") as folder:
        file = Path(folder, "sent")
        yield file
        path.fs.put_file(str(file), path.path)
