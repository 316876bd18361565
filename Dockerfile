# Two images from one file:
#   docker build --target producer -t smoothvote-producer .   submit, watch, dispatch, report: without PyTorch
#   docker build --target worker   -t smoothvote-worker .     compute, on a GPU or a CPU
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
# An ordinary user, because no process here needs root. Weights are cached in its home, which is a volume in compose.
RUN useradd --create-home --uid 10001 smoothvote && install -d -o smoothvote /home/smoothvote/.cache
# .dockerignore lets through the rooms, and what their installation needs.
COPY . .

FROM base AS producer
RUN pip install '.[s3]'
USER smoothvote
ENTRYPOINT ["smoothvote"]
CMD ["--help"]

FROM base AS worker
# PyTorch and torchvision from the package index include CUDA: the host needs only a driver and the NVIDIA container
# toolkit. One pip call for both, so that their versions match.
RUN pip install '.[worker,embedded,openvino,s3]'
USER smoothvote
ENTRYPOINT ["smoothvote"]
CMD ["worker"]
