"""Networks that attend to what an encoder made of a whole input: what their recipes share."""
