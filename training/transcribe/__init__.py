"""Training of networks that turn speech into text."""
