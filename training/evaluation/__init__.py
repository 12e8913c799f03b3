"""Measuring trained networks against honest baselines."""
