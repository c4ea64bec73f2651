# syntax=docker/dockerfile:1
# CPU by default. For CUDA give a base that holds it and has Python 3.11 among its packages:
#   docker build --build-arg BASE_IMAGE=nvidia/cuda:12.8.1-devel-ubuntu22.04 .
ARG BASE_IMAGE=debian:bookworm-slim
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}

# An index with PyTorch's CPU wheels makes the image several GB smaller; without one, torch comes with CUDA.
ARG PIP_EXTRA_INDEX_URL=""

ENV DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    DEBIAN_FRONTEND=noninteractive \
    PIP_CACHE_DIR=/var/.cache/pip \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:$PATH

# The compiler is for DeepSpeed's optimizers that are offloaded to the CPU. Versions are those of the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3.11-dev python3.11-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3.11 -m venv /opt/venv \
    && useradd --create-home --uid 1000 trainer \
    && install --directory --owner=trainer /app

WORKDIR /app

# In a clone of the library the library itself is installed. A project made by `safeguards init` says where its copy is,
# a wheel in its folder or an exact version: --build-arg LIBRARY=./safeguards-0.1.0-py3-none-any.whl
ARG LIBRARY=""

# The lock fixes every version.
COPY --chown=trainer . .
RUN --mount=type=cache,target=/var/.cache/pip \
    if grep -qs '^name = "safeguards"' pyproject.toml; then library=.; \
    else library="${LIBRARY:?give --build-arg LIBRARY=<a wheel here, or an exact version>}"; fi \
    && pip install --constraint requirements.lock "${library}[pipelines]"

USER 1000
ENTRYPOINT ["python", "-m"]
CMD ["pipelines.train", "--help"]
