"""``rnnserve batch forecast``: the series of long tables, a part at a time."""
