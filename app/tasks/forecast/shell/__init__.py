"""Forecasts of files, from a shell."""
