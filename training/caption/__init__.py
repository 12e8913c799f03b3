"""Captions: what sees a picture, a decoder that attends to it, and what both are trained on."""
