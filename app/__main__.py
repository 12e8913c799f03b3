"""``python -m app``, which is the ``rnnserve`` command too; worker processes import it as well."""

import gc

gc.disable()  # what imports make stays: looking through it for garbage took a tenth of their time
from app.cli import main  # noqa: E402 - in quiet

gc.freeze()
gc.enable()

if __name__ == "__main__":
    main()
