"""Sessions at rest: the record, its life, the portable state, and the stores that hold it."""
