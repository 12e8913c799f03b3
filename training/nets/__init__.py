"""The networks: each stands once in PyTorch and once as a graph, side by side."""
