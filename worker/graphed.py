"""CUDA graphs: a forward pass is recorded once for each number of views, and then launched as one operation.

Without it, Python launches hundreds of kernels for each pass, one by one, while the lanes that draw views need Python,
too.
"""

import logging
from threading import Lock
from typing import NamedTuple

import torch
from torch import nn

from db.errors import one_line
from worker.engines import Eager, short_name
from worker.memory import ran_out

logger = logging.getLogger("worker")

#: Passes before one is recorded: cuDNN and cuBLAS choose kernels and take their workspaces in the first ones.
WARM_UP = 3


class Recorded(NamedTuple):
    """A forward pass for one number of views. A replay reads ``views`` and writes ``logits``."""

    graph: torch.cuda.CUDAGraph
    views: torch.Tensor
    logits: torch.Tensor


class Graphed(Eager):
    """PyTorch on a GPU, launched as CUDA graphs. It computes the same kernels as Eager, so the same bits.

    All threads must use the same stream, as the default one: two replays of a graph at a time would share its memory.
    """

    def __init__(self, network: nn.Module, device: torch.device, low: torch.dtype | None = None) -> None:
        super().__init__(network, device, low)
        self.name = f"graph {short_name(low)}"
        #: By the shape of the views; None where recording failed.
        self._recorded: dict[tuple[int, ...], Recorded | None] = {}
        self._once = Lock()

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """See Engine."""
        with self._once:
            shape = tuple(views.shape)
            if shape not in self._recorded:
                self._recorded[shape] = self._record(views)
            if (recorded := self._recorded[shape]) is None:
                return super().logits(views)
            recorded.views.copy_(views)
            recorded.graph.replay()
            return recorded.logits.clone()  # the next replay writes there again

    def _record(self, views: torch.Tensor) -> Recorded | None:
        """Records a pass; None, with a line in the log, if this network cannot be recorded.

        Raises:
            RuntimeError: if memory does not hold the pass; the classifier tries a smaller one.
        """
        with torch.cuda.device(self._device):
            graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
            kept = views.clone(memory_format=torch.channels_last)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    super().logits(kept)
            torch.cuda.current_stream().wait_stream(stream)
            try:
                # Thread-local: meanwhile the lanes of another model may allocate memory, which would end a global one.
                with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                    logits = super().logits(kept)
            except RuntimeError as error:
                if ran_out(error):
                    raise
                logger.warning(
                    "%s: a CUDA graph cannot be recorded, so it runs eagerly: %s", self.name, one_line(error)
                )
                return None
        return Recorded(graph, kept, logits)
