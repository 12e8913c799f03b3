"""What every text task checks before it tokenizes."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import InvalidInput
from app.core.limits import Limits


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


def check_ids(field: str, ids: Sequence[object], vocabulary: int) -> None:
    """Refuse a list that holds anything but token ids.

    Raises:
        InvalidInput: names the first element that is none.
    """
    for index, token in enumerate(ids):
        if type(token) is not int or not 0 <= token < vocabulary:
            raise InvalidInput(
                f"{field}.{index}",
                f"a token id is a whole number from 0 to {vocabulary - 1}",
                allowed={"min": 0, "max": vocabulary - 1},
            )
