# syntax=docker/dockerfile:1
#
#   docker build --target service --tag cascade-delivery .     every process of the service
#   docker build --target sandbox --tag cascade-sandbox .      providers that are not real

ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# No pip in it: nothing is to be installed into a running container.
RUN python -m venv --without-pip /opt/cascade
# The dependencies before the source, so that a change of the source does not fetch them again.
COPY deploy/requirements.lock deploy/
RUN pip --python /opt/cascade/bin/python install --require-hashes --only-binary :all: --requirement deploy/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY cascade cascade
RUN pip --python /opt/cascade/bin/python install --no-deps .

FROM build AS build-sandbox
COPY requirements.lock ./
RUN pip --python /opt/cascade/bin/python install --only-binary :all: --constraint requirements.lock aiohttp smsutil

FROM ${BASE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Cascade" \
      org.opencontainers.image.description="One message to one person over the cheapest channel that reaches them in time" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A fixed number, by which volumes and other machines know it; no shell, no home.
RUN groupadd --gid 10001 cascade \
 && useradd --uid 10001 --gid cascade --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cascade
# Logs appear as they are written; the file system may be read-only.
ENV PATH=/opt/cascade/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
STOPSIGNAL SIGTERM

FROM base AS sandbox
COPY --from=build-sandbox /opt/cascade /opt/cascade
COPY demo/sandbox.toml /etc/cascade/
# Where the ledger is; a volume that is mounted here belongs to the same user.
RUN install --directory --owner cascade --group cascade /var/lib/cascade
USER 10001:10001
CMD ["python", "-m", "cascade.sandbox", "--host", "0.0.0.0", "--port", "8090", "--config", "/etc/cascade/sandbox.toml", "--ledger", "/var/lib/cascade/ledger.jsonl"]

# The last stage is what `docker build .` makes.
FROM base AS service
COPY --from=build /opt/cascade /opt/cascade
WORKDIR /srv/cascade
COPY workers workers
COPY config config
RUN python -m compileall -q workers config
ENV CASCADE_CONFIG_DIR=/srv/cascade/config
USER 10001:10001
CMD ["cascade", "--help"]
