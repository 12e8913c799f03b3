"""Forecasts of series: data, network, loss, measures and baselines of one recipe."""
