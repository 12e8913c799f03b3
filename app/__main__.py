"""``python -m app``, which is the ``rnnserve`` command too."""

import gc

# What imports make stays. Looking through it for garbage, now and later, took a tenth of their time.
gc.disable()
from app.cli import main  # noqa: E402

gc.freeze()
gc.enable()

# Worker processes import this module too.
if __name__ == "__main__":
    main()
