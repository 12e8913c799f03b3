"""Labels of texts: data, network, loss, measures and baselines of one recipe."""
