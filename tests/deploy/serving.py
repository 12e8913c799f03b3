"""What puts the deployment of deploy/ray on a cluster: ``python -m tests.deploy.serving ADDRESS PORT``.

Says ``ready`` when two replicas serve; on each line that it reads they are replaced, as by a new version.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from itertools import count
from typing import Any

import ray
from ray import serve


def main() -> None:
    """Serve until there is no more line."""
    address, port = sys.argv[1:]
    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    deployment: Any = importlib.import_module("service").deployment
    settings = {name: value for name, value in os.environ.items() if name.startswith("RNNSERVE_")}
    for version in count():
        variables = settings | {"VERSION": str(version)}
        serve.run(
            deployment.options(
                autoscaling_config=None,
                num_replicas=2,
                ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": variables}},
            ).bind()
        )
        print("ready", flush=True)
        if not sys.stdin.readline():
            return


if __name__ == "__main__":
    main()
