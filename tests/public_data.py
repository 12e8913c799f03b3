"""Where the public data sets are, for the tests that use them when they are there."""

from __future__ import annotations

import os
from pathlib import Path

from training.data.download import DATA_VARIABLE


def data_folder() -> Path | None:
    """The folder that the environment names, or one beside the checkout."""
    named = os.environ.get(DATA_VARIABLE)
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None
