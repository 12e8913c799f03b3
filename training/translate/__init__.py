"""Translation: an encoder, a decoder that attends to it, and what both are trained on."""
