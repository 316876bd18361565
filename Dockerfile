# Two images from one file:
#   docker build --target producer -t smoothvote-producer .   submit, watch, dispatch, report: no torch
#   docker build --target worker   -t smoothvote-worker .     computes, on a GPU or a CPU
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# Nobody in particular: no process here needs root. Weights are cached in its home, which is a volume in compose.
RUN useradd --create-home --uid 10001 smoothvote && install -d -o smoothvote /home/smoothvote/.cache
COPY pyproject.toml README.md LICENSE smoothvote.py ./
COPY db ./db
COPY producer ./producer
COPY worker ./worker

FROM base AS producer
RUN pip install '.[s3]'
USER smoothvote
ENTRYPOINT ["smoothvote"]
CMD ["--help"]

FROM base AS worker
# torch and torchvision from the package index carry CUDA themselves: the host needs a driver and the NVIDIA container
# toolkit, and nothing else. Both are asked for at once, so that they are a pair.
RUN pip install '.[worker,embedded,openvino,s3]'
USER smoothvote
ENTRYPOINT ["smoothvote"]
CMD ["worker"]
