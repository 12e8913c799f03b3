"""How raw input becomes steps: one definition for training and serving."""
