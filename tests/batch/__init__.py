"""``rnnserve batch``: files in, files out."""
