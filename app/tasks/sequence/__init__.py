"""Sequences of numbers or tokens in, named outputs out: any recurrent network."""
