"""The task ``translate``; ``task.TASK`` is all that others need of it."""
