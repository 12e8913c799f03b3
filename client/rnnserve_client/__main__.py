"""``python -m rnnserve_client``: the same as ``rnnserve-client``."""

import sys

from rnnserve_client.shell.command import main

if __name__ == "__main__":
    sys.exit(main())
