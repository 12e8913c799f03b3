"""Other servers on the same work; each folder is one, written as its documentation advises."""
