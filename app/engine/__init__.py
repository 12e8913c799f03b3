"""Continuous batching: who runs next, on which rows, and who hears about it."""
