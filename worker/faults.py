"""Faults: whether an error is the fault of an image, of this machine, or of a device that is lost.

An image that is at fault becomes a failure. Whether an unforeseen error is an image's or the machine's, the other
images of the job tell: if none of them could be used either, the machine is at fault.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock

import torch

from db.errors import Refusal, one_line
from db.found import Failed
from worker.classifier import Classifier, DeviceLost
from worker.images import Pixels
from worker.memory import ran_out
from worker.turns import patient
from worker.unusable import Unusable

logger = logging.getLogger("worker")

#: Images with more pixels are worked on one at a time, however many lanes there are: each takes gigabytes.
LARGE = 16_000_000
LARGE_IMAGE = Lock()


class Faults:
    """The errors of a job's images, by the image's id. Threads share it."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        #: Images that cannot be used.
        self.failed: dict[int, Failed] = {}
        #: Unforeseen errors.
        self.odd: dict[int, Exception] = {}

    def __contains__(self, image_id: int) -> bool:
        return image_id in self.failed or image_id in self.odd

    @contextmanager
    def of(self, image_id: int) -> Iterator[None]:
        """Records an error in the block as that of an image, and goes on.

        Raises:
            DeviceLost: is no image's fault.
        """
        try:
            with self._classifier.device_errors():
                yield
        except DeviceLost:
            raise
        except Unusable as reason:
            self.fail(image_id, reason.code, reason.message)
        except Exception as error:
            logger.warning("image %d: %s: %s", image_id, type(error).__name__, one_line(error))
            self.odd[image_id] = error.with_traceback(None)  # a traceback keeps tensors alive

    def fail(self, image_id: int, code: str, message: str) -> None:
        """Records that an image cannot be used."""
        self.failed[image_id] = Failed(image_id=image_id, code=code, message=message)

    def fail_not_finite(self, image_id: int) -> None:
        """Records that the model's outputs for an image are infinite or NaN."""
        self.fail(image_id, "not_finite", "the model's outputs are not numbers")

    def settle(self, *, fine: bool) -> list[Failed]:
        """The images with unforeseen errors, as failures: unreadable, or unexpected.

        Args:
            fine: whether any image of the job could be used.

        Raises:
            Exception: the first unforeseen error, if no image could be used.
        """
        if self.odd and not fine:
            raise next(iter(self.odd.values()))
        return [_odd(image_id, error) for image_id, error in self.odd.items()]


def _odd(image_id: int, error: Exception) -> Failed:
    if isinstance(error, Refusal):
        return Failed(image_id=image_id, code="unreadable", message=one_line(error))
    return Failed(image_id=image_id, code="unexpected", message=f"{type(error).__name__}: {one_line(error)}")


@contextmanager
def room_for(pixels: Pixels, device: torch.device) -> Iterator[None]:
    """Waits until an image may be worked on: large images take turns.

    Raises:
        Unusable: out_of_memory.
        DeviceLost: if a GPU is out of memory: a new process begins with all of it.
    """
    height, width = pixels.values.shape[:2]
    with patient(LARGE_IMAGE) if height * width > LARGE else nullcontext(), room_on(device):
        yield


@contextmanager
def room_on(device: torch.device) -> Iterator[None]:
    """Explains a lack of memory while an image is worked on.

    Raises:
        Unusable, DeviceLost: as ``room_for``.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        if device.type == "cuda":
            raise DeviceLost(f"{device}: {one_line(error)}") from None
        raise Unusable("out_of_memory", "not enough memory for its noise and views") from None
