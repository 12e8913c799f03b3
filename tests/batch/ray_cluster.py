"""A Ray cluster on this machine, in a process of its own: Ray leaves much open in the one that makes it.

``python -m tests.batch.ray_cluster`` says its address, and then obeys lines: ``add`` a node with one core, or
``kill`` the one that was added first. It ends with its input.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

from tests.e2e.server import REPOSITORY

_BYTES = 80 << 20
"""Of each node's object store, which nothing of ours uses."""


_LONGEST_S = 300.0


class RayCluster:
    """Use as a context: a head that takes no work, and a node with one core."""

    def __enter__(self) -> RayCluster:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        # Whoever waits for it is told so by an empty answer.
        self._end = threading.Timer(_LONGEST_S, self._process.kill)
        self._end.start()
        self.address = self._answer()
        self.tell("add")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()
        self._end.cancel()

    def tell(self, order: str) -> None:
        """``add`` or ``kill``; returns when it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        assert self._answer() == order

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    """Obey."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _BYTES}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        print(cluster.address, flush=True)
        nodes: list[Any] = []
        for line in sys.stdin:
            if line.strip() == "add":
                nodes.append(cluster.add_node(num_cpus=1, object_store_memory=_BYTES))
            else:
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
            print(line.strip(), flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
