"""Where files lie: on this machine, or at an address such as ``s3://bucket/sales``, by universal_pathlib.

Credentials are those of each library's own variables, such as ``AWS_*``. An object is there as a whole or not
at all, once it has been sent; nobody can hold a folder of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from app.core.errors import ConfigurationError

_MARK = "://"


def place(text: str) -> Path:
    """A path, or what is used like one; raises ConfigurationError for an address that cannot be one."""
    scheme, mark, rest = text.partition(_MARK)
    if not mark:
        return Path(text)
    if not rest.strip("/"):
        raise ConfigurationError(f"{text!r} names no place; give one such as s3://bucket/sales.csv")
    try:
        from upath import UPath

        # Other processes write here as well.
        fresh: dict[str, Any] = {"use_listings_cache": False} if scheme == "s3" else {}
        found: Any = UPath(text.rstrip("/"), **fresh)
        found.fs  # noqa: B018  # imports what the scheme needs
    except ImportError as error:
        raise ConfigurationError(
            f"{text}: {scheme}:// needs more packages: pip install '.[remote,batch]' in a checkout"
        ) from error
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{text}: {error}") from error
    assert isinstance(found, UPath)
    return cast(Path, found)


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


class Sent:
    """A file of this machine that is sent to ``path`` at the end, and is then gone here."""

    def __init__(self, path: Any) -> None:
        self._path = path
        self._folder = tempfile.TemporaryDirectory(prefix="rnnserve-")
        self._file = Path(self._folder.name, "sent")

    def __enter__(self) -> Path:
        return self._file

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._folder:
            if error is None:
                self._path.fs.put_file(str(self._file), self._path.path)
