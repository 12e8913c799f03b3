"""What every text task checks before it tokenizes."""

from __future__ import annotations

from app.core.errors import InvalidInput
from app.schemas.limits import Limits


def check_text(field: str, text: str, limits: Limits) -> None:
    """Refuse a text that is too long, or that no encoding can carry.

    Raises:
        InvalidInput: with ``field`` and the limit.
    """
    if len(text) > limits.max_text_chars:
        raise InvalidInput(
            field,
            f"the text has {len(text)} characters, more than the limit of {limits.max_text_chars}",
            allowed={"max": limits.max_text_chars},
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            field, "the text holds half of a surrogate pair, which is not a character"
        ) from error
