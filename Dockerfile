# Two images from one file:
#   docker build --target producer -t smoothvote-producer .   submit, watch, dispatch, report, serve: without PyTorch
#   docker build --target worker   -t smoothvote-worker .     compute, on a GPU or a CPU
# Each installs the exact versions of its lock (`make lock` writes them), so that an image built later is the same image.
FROM python:3.11.13-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# An ordinary user, because no process here needs root. Weights are cached in its home, which is a volume in compose.
RUN useradd --create-home --uid 10001 smoothvote && install -d -o smoothvote /home/smoothvote/.cache

FROM base AS producer
COPY deploy/locks/producer.txt .
RUN pip install --require-hashes --requirement producer.txt
# Last, because it changes most often. .dockerignore lets through the rooms, and what their installation needs.
COPY . .
RUN pip install --no-deps .
USER smoothvote
ENTRYPOINT ["smoothvote"]
CMD ["--help"]

FROM base AS worker
# PyTorch and torchvision from the package index include CUDA: the host needs only a driver and the NVIDIA container
# toolkit.
COPY deploy/locks/worker.txt .
RUN pip install --require-hashes --requirement worker.txt
COPY . .
RUN pip install --no-deps .
USER smoothvote
ENTRYPOINT ["smoothvote"]
CMD ["worker"]
