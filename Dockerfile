# An image that runs `fsig-bench`; results go to /results.
#
#   docker build -t fsig-bench .
#   docker run -v "$PWD/results:/results" fsig-bench method=crdi dataset=babies
#
# With CUDA, for the paper suite: BASE is any image with CUDA's libraries, Python 3.11 or newer as
# `python3`, and pip. PIP_EXTRA_INDEX_URL may name a registry that holds builds of torch for it.
#
#   docker build -t fsig-bench:cuda --build-arg BASE=YOUR_CUDA_IMAGE \
#     --build-arg EXTRAS=paper,vision,drive .
#   docker run --gpus all -v "$PWD/results:/results" -v "$HOME/.cache/fsig_bench:/cache" fsig-bench:cuda ...
ARG BASE=python:3.13-slim
FROM ${BASE}
ARG EXTRAS=paper
ARG PIP_EXTRA_INDEX_URL=
ENV FSIG_BENCH_CACHE=/cache PIP_NO_CACHE_DIR=1 PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /source
COPY pyproject.toml README.md LICENSE CITATION.cff ./
COPY fsig_bench fsig_bench
COPY baselines baselines
COPY conf conf
COPY results/published results/published
RUN python3 -m pip install ".[${EXTRAS}]" && mkdir -p /results /cache
WORKDIR /
VOLUME ["/results", "/cache"]
ENTRYPOINT ["fsig-bench"]
