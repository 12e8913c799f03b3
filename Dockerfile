# syntax=docker/dockerfile:1
# docker build -t rnnserve .                    the service on the CPU
# docker build -t rnnserve:gpu --target gpu .   the same with CUDA; docs/deployment.md
#
# PYTHON_IMAGE needs Python 3.11 to 3.13 with its venv module, and nothing else.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# The libraries: this layer stays while pyproject.toml does.
FROM ${PYTHON_IMAGE} AS libraries
# Of pyproject.toml: what settings may turn on, since nothing is installed into a running container.
ARG EXTRAS=audio,image,midi,otel,remote
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY deploy/docker/requirements.py pyproject.toml ./
RUN python3 -m venv /opt/rnnserve \
    && python3 requirements.py pyproject.toml "page,${EXTRAS}" > requirements.txt \
    && /opt/rnnserve/bin/pip install --requirement requirements.txt

# ONNX Runtime for CUDA takes the place of the one for CPUs, and brings CUDA and cuDNN along.
FROM libraries AS libraries-gpu
RUN python3 requirements.py --only pyproject.toml cuda > gpu.txt \
    && /opt/rnnserve/bin/pip uninstall --yes onnxruntime \
    && /opt/rnnserve/bin/pip install --requirement gpu.txt

FROM libraries AS wheel
COPY README.md LICENSE ./
COPY app app
COPY training training
RUN /opt/rnnserve/bin/pip wheel --no-deps --wheel-dir /wheels .

# pip has done its work: nothing is installed into a running container.
FROM libraries AS installed
COPY --from=wheel /wheels /wheels
RUN /opt/rnnserve/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/rnnserve/bin/pip uninstall --yes pip setuptools

FROM libraries-gpu AS installed-gpu
COPY --from=wheel /wheels /wheels
RUN /opt/rnnserve/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/rnnserve/bin/pip uninstall --yes pip setuptools

# What both images have beside the libraries. The root file system may be read-only: only /state and /tmp are written to.
FROM ${PYTHON_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rnnserve" \
      org.opencontainers.image.description="Serves recurrent networks: forecasts, sentiment and generated text over HTTP and WebSocket" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 rnnserve \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rnnserve \
    && install -d -o 10001 -g 10001 -m 700 /state
COPY deploy/docker/healthcheck.py /opt/healthcheck.py
COPY models /models
ENV PATH=/opt/rnnserve/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    RNNSERVE_HOST=0.0.0.0 \
    RNNSERVE_PORT=8000 \
    RNNSERVE_MODELS=/models \
    RNNSERVE_MODELS_CACHE=/state/models-cache \
    RNNSERVE_STATE_DIR=/state \
    RNNSERVE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python3", "/opt/healthcheck.py"]
ENTRYPOINT ["rnnserve"]
CMD ["serve"]

FROM base AS gpu
COPY --from=installed-gpu /opt/rnnserve /opt/rnnserve
ENV RNNSERVE_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
COPY --from=installed /opt/rnnserve /opt/rnnserve
