"""Honest baselines, measured on the same split as the networks."""
