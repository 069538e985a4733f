# For CI: edge-scnet with the CPU build of torch, as a user without rights.
#   docker build -t edge-scnet . && docker run --rm -v "$PWD:/work" -u "$(id -u):$(id -g)" edge-scnet check --build
# TORCH_INDEX is where pip finds torch; PIP_OPTIONS goes to each call of pip, as in --build-arg PIP_OPTIONS="--proxy ...".
FROM python:3.12-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG PIP_OPTIONS=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/edge-scnet
COPY constraints.txt /src/
# torch first, in a layer of its own: it is the largest and changes least
# hadolint ignore=SC2086
RUN /opt/edge-scnet/bin/pip install $PIP_OPTIONS -c /src/constraints.txt --index-url "$TORCH_INDEX" torch
COPY . /src
# hadolint ignore=SC2086
RUN /opt/edge-scnet/bin/pip install $PIP_OPTIONS -c /src/constraints.txt "/src[all]"

FROM python:3.12-slim-bookworm
COPY --from=build /opt/edge-scnet /opt/edge-scnet
RUN useradd --create-home --uid 1000 edge && mkdir /work && chown edge /work
ENV PATH=/opt/edge-scnet/bin:$PATH
USER 1000
WORKDIR /work
ENTRYPOINT ["edge-scnet"]
CMD ["--help"]
