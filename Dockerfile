# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY training training
# Serving needs neither torch nor onnx, so neither is in the image.
RUN python -m venv /opt/rnnserve && /opt/rnnserve/bin/pip install --no-cache-dir .

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home rnnserve && install -d -o 10001 /state
COPY --from=build /opt/rnnserve /opt/rnnserve
COPY models /models
ENV PATH=/opt/rnnserve/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    RNNSERVE_HOST=0.0.0.0 \
    RNNSERVE_PORT=8000 \
    RNNSERVE_MODELS=/models \
    RNNSERVE_STATE_DIR=/state \
    RNNSERVE_LOG_FORMAT=json
USER 10001
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["rnnserve"]
CMD ["serve"]
