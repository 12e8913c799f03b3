"""Recipes: data, network, training, evaluation and export of one task, behind one command."""
