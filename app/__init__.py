"""rnnserve: serving recurrent networks that keep their state."""

__version__ = "0.1.0"
