"""Training, evaluation and export of the recurrent networks that rnnserve serves."""
