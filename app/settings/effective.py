"""The settings in force, as a settings file that would give them: one line each, secrets masked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.settings.settings import Settings
from app.settings.sources import SECRET, Sourced

MASK = "****"
# What stands before the last @ of an address may be a password, and so may its query.
_USER = re.compile(r"//.*@", re.DOTALL)


def effective_lines(sourced: Sourced) -> list[str]:
    """A line of TOML for each setting, with its source as a comment; unset ones are comments."""
    found = [(name, _shown(name, getattr(sourced.settings, name))) for name in Settings.model_fields]
    lines = [f"# {name} =" if value is None else f"{name} = {value}" for name, value in found]
    width = min(48, max(len(line) for line in lines))
    return [
        f"{line:<{width}}  # {sourced.origins.get(name, 'default')}"
        for line, (name, _) in zip(lines, found, strict=True)
    ]


def _shown(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return json.dumps(MASK)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = str(value) if isinstance(value, Path) else value
    if name in SECRET and name != "models":  # whose addresses are refused when they hold a password
        address, question, _ = _USER.sub(f"//{MASK}@", text).partition("?")
        text = f"{address}?{MASK}" if question else address
    return json.dumps(text, ensure_ascii=False)
