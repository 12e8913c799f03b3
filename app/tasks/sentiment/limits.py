"""What a request for labels of texts may ask for."""

from __future__ import annotations

from pydantic import Field

from app.features.text import TextLimits


class SentimentLimits(TextLimits):
    """The limits of texts, and how many of them."""

    max_texts: int = Field(1_000, ge=1, le=100_000, description="texts in one request")
