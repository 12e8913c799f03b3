"""The application on Ray Serve, in as many replicas as the requests in flight ask for.

    serve run --app-dir deploy/ray service:application

``RNNSERVE_*`` variables are each replica's settings. Sessions are kept in Redis, so any replica serves any
session, and none takes a step with it that was answered.
"""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve

from app.main import create_app
from app.settings import load_settings


def replica() -> FastAPI:
    """Called in each replica's own process."""
    settings = load_settings()
    if settings.session_store is not None and not settings.session_store.startswith(("redis", "valkey")):
        raise ValueError("sessions of several replicas lie in one Redis: set RNNSERVE_SESSIONS=redis://...")
    return create_app(settings)


deployment = serve.deployment(
    name="rnnserve",
    # Streams and sockets count as requests in flight; what a replica has beyond this waits at Ray's proxy.
    max_ongoing_requests=1000,
    autoscaling_config={"min_replicas": 2, "max_replicas": 8, "target_ongoing_requests": 64},
    ray_actor_options={"num_cpus": 1},
    health_check_period_s=2,
    graceful_shutdown_timeout_s=30,
)(serve.ingress(replica)())
application = deployment.bind()
