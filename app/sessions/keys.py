"""The secret that signs portable states: given, kept beside an LMDB store, or drawn for this process."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

from app.core.errors import ConfigurationError
from app.sessions.stores import lmdb_path

logger = logging.getLogger(__name__)

KEY_FILE = "state.key"
_KEY_BYTES = 32


def state_secret(given: str | None, address: str) -> str:
    """The secret of a server whose sessions are at ``address``: the one given, if any."""
    if given is not None:
        return given
    folder = lmdb_path(address)
    if folder is not None:
        return _kept(folder)
    if not address.startswith("memory:"):
        logger.warning(
            "no state key is set: downloaded states will not open on another server or after a restart; "
            "give all servers of one store the same RNNSERVE_STATE_KEY"
        )
    return secrets.token_hex(_KEY_BYTES)


def _kept(folder: Path) -> str:
    path = folder / KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path)
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the state key {str(path)!r} cannot be kept: {error}") from error
    if len(secret) < _KEY_BYTES:
        raise ConfigurationError(f"the state key {str(path)!r} is cut short; restore it, or delete it")
    return secret


def _write_once(path: Path) -> None:
    """Put a whole key there, unless another process was faster."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
