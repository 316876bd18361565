"""Passes through the network under attack: forward for its answers, or forward and back for a gradient.

On a CPU each thread runs its own passes. On a GPU, which a few views leave idle, threads that attack different images
share them: the images may have any size, because the network sees crops.
"""

from collections.abc import Callable
from threading import Lock

import torch
from torch import nn

#: From (N, classes) logits to a scalar. It is a sum over the N views: so the gradient of a view is its own.
Loss = Callable[[torch.Tensor], torch.Tensor]


class Passes:
    """Runs the views of each caller by themselves.

    Args:
        network: from (N, 3, crop, crop) views in [0, 1] to (N, classes) logits.
        after_pass: called after each pass.
    """

    def __init__(self, network: nn.Module, after_pass: Callable[[], None]) -> None:
        self._network, self._after_pass = network, after_pass

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """The logits of some views, without gradients: (N, classes) float32."""
        with torch.no_grad():
            return self._forward(views)

    def gradients(self, views: torch.Tensor, loss: Loss) -> torch.Tensor:
        """The gradient of a loss by each value of the views: (N, 3, crop, crop)."""
        with torch.enable_grad():
            views = views.detach().requires_grad_()
            (found,) = torch.autograd.grad(loss(self._forward(views)), views)
        return found

    def _forward(self, views: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._network(views.contiguous(memory_format=torch.channels_last))
        self._after_pass()
        return logits.float()


class SharedPasses(Passes):
    """Runs the views of several callers in one pass, whoever they belong to.

    While one thread runs a pass, others queue up; the next pass takes as many of them as fit. All passes have the same
    number of views, padded with black ones: libraries choose kernels by shape, and kernels differ in the last bits, so
    that the gradient of a view would depend on which others it shares a pass with.

    Args:
        network: as Passes.
        after_pass: as Passes.
        size: views in a pass. A caller may bring no more.
    """

    def __init__(self, network: nn.Module, after_pass: Callable[[], None], size: int) -> None:
        super().__init__(network, after_pass)
        self._size = size
        self._waiting: list[_Request] = []
        self._queueing, self._turn = Lock(), Lock()

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """As Passes."""
        return self._answer(_Request(views, None))

    def gradients(self, views: torch.Tensor, loss: Loss) -> torch.Tensor:
        """As Passes."""
        return self._answer(_Request(views, loss))

    def _answer(self, request: "_Request") -> torch.Tensor:
        with self._queueing:
            self._waiting.append(request)
        with self._turn:
            while request.found is None:  # unless another thread's pass has taken it along
                self._run(self._taken())
        if isinstance(request.found, Exception):
            raise request.found
        return request.found

    def _taken(self) -> list["_Request"]:
        """The requests of the next pass: the first, and those after it that fit and want the same of the network."""
        with self._queueing:
            taken, room = [], self._size
            for request in list(self._waiting):
                if request.wants_gradient == self._waiting[0].wants_gradient and len(request.views) <= room:
                    taken.append(request)
                    room -= len(request.views)
            self._waiting = [request for request in self._waiting if request not in taken]
        return taken

    def _run(self, requests: list["_Request"]) -> None:
        """One pass. An error is that of all who share it."""
        views = torch.cat([request.views for request in requests])
        padded = torch.cat([views, views.new_zeros(self._size - len(views), *views.shape[1:])])
        sizes = [len(request.views) for request in requests]
        try:
            if requests[0].wants_gradient:
                found = super().gradients(padded, lambda logits: _sum_of_losses(requests, logits))
            else:
                found = super().logits(padded)
        except Exception as error:
            for request in requests:
                request.found = error
        else:
            for request, part in zip(requests, found[: len(views)].split(sizes), strict=True):
                request.found = part


class _Request:
    """Views that a thread waits for: their gradients, or without a loss their logits."""

    def __init__(self, views: torch.Tensor, loss: Loss | None) -> None:
        self.views, self.loss = views, loss
        self.wants_gradient = loss is not None
        self.found: torch.Tensor | Exception | None = None


def _sum_of_losses(requests: list[_Request], logits: torch.Tensor) -> torch.Tensor:
    total, first = logits.new_zeros(()), 0
    for request in requests:
        assert request.loss is not None  # noqa: S101
        total = total + request.loss(logits[first : first + len(request.views)])
        first += len(request.views)
    return total
