"""``python -m app``: the same as the ``rnnserve`` command."""

from app.cli import main

# Worker processes import this module too.
if __name__ == "__main__":
    main()
