"""Determinism: the same gradients each time on the same GPU. On a CPU they are so anyway."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_inside = 0
_before = (False, False, False)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Has PyTorch choose deterministic algorithms on a GPU while the block runs; it warns where it has none.

    The setting belongs to the process. So it holds until the last of the threads that asked for it leaves.
    """
    global _inside, _before
    if device.type != "cuda":
        yield
        return
    with _lock:
        if not _inside:
            _before = (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
                torch.backends.cudnn.deterministic,
            )
            # Read by cuBLAS: a fixed workspace, without which products of matrices may differ from time to time.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.backends.cudnn.deterministic = True
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.use_deterministic_algorithms(_before[0], warn_only=_before[1])
                torch.backends.cudnn.deterministic = _before[2]
