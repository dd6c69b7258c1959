# The gateway, the controller and the services of models, without what only training needs: docker/serving.lock. Build
# from the repository's root:
#   docker build -f docker/serving.Dockerfile -t aimass-serving .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
WORKDIR /opt/aimass
RUN python -m venv .venv
COPY docker/serving.lock docker/
RUN .venv/bin/python -m pip install --no-cache-dir --require-hashes --no-deps -r docker/serving.lock
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY plugins plugins
COPY bentos bentos
COPY docker/entrypoint.sh docker/healthy.py docker/
RUN .venv/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation --editable .

FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 aimass \
    && install --directory --owner aimass --mode 0700 /home/aimass/state /home/aimass/secrets
COPY --from=build /opt/aimass /opt/aimass
ENV AIMASS_HOME=/home/aimass/state PATH=/opt/aimass/.venv/bin:$PATH
USER aimass
WORKDIR /home/aimass
ENTRYPOINT ["/opt/aimass/docker/entrypoint.sh"]
CMD ["aimass", "--help"]
