"""Training of networks that read sequences of numbers or tokens and give one class or number."""
