"""Text that goes on: data, network, loss, measures and baselines of one recipe."""
