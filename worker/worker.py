"""A worker: one process that does jobs, from the claim to the commit."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from billiard import current_process
from sqlalchemy.exc import SQLAlchemyError

from db import store
from db.errors import WrongUse, one_line
from db.recipe import Recipe
from db.session import connect
from db.settings import Settings
from db.store import Claim, Entry, Failed, Predicted
from worker.classifier import Classifier, choose_device, make_classifier
from worker.images import Pixels, decode, find_root, read
from worker.pipeline import Source, predict

logger = logging.getLogger("worker")

#: Seconds before a job that this worker cannot do is offered again, to another or to this one, mended.
REFUSED_FOR = 60.0


class Worker:
    """A process that does jobs: a connection to the record, and the classifier of the last recipe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = connect(settings)
        host = settings.worker_name or socket.gethostname()
        self.name = f"{host}:{os.getpid()}"
        # Children of one parent count from 0: they share out the machine's GPUs.
        self.device = choose_device(settings.device, process=getattr(current_process(), "index", 0))
        self._classifier: tuple[Recipe, Classifier] | None = None

    def do(self, job_id: int) -> None:
        """Claims a job, computes it, and stores what was found; or leaves it as it is if it is not to be done."""
        claim = store.claim(self.engine, job_id, worker=self.name, lease=self.settings.lease)
        if claim is None:
            logger.info("job %d: done, taken or cancelled already", job_id)
            return
        began = time.monotonic()
        with self._lease(claim) as lost:
            try:
                found = self._compute(claim, lost)
            except WrongUse as reason:
                logger.warning("job %d: refused: %s", job_id, reason)
                store.refuse(self.engine, claim, worker=self.name, note=str(reason), after=REFUSED_FOR)
                return
            except Exception as error:
                # What an image can cause is caught where it is opened: this is the machine's fault, or a bug.
                logger.exception("job %d: refused", job_id)
                note = f"unexpected, see the worker's log: {type(error).__name__}: {one_line(error)}"
                store.refuse(self.engine, claim, worker=self.name, note=note, after=REFUSED_FOR)
                return
            if found is None:
                logger.info("job %d: cancelled, or taken by another, half way", job_id)
                return
            predicted, failed = found
            stored = store.finish(self.engine, claim, predicted, failed)
        images = claim.last - claim.first + 1
        said = f"{images} images, {len(failed)} of them without prediction" if stored else "another worker was first"
        logger.info("job %d of run %s: %s, %.1f s", job_id, claim.run_id, said, time.monotonic() - began)

    def _compute(self, claim: Claim, lost: threading.Event) -> tuple[list[Predicted], list[Failed]] | None:
        work = store.load_work(self.engine, claim)
        root = find_root(work.root, self.settings)
        classifier = self._classifier_of(work.recipe)
        store.pin_weights(
            self.engine, claim.run_id,
            weights_sha256=classifier.weights_sha256, preprocessing=classifier.preprocessing,
        )  # fmt: skip
        images: list[tuple[int, Source]] = [
            (image_id, partial(open_image, root, entry, work.recipe, self.settings)) for image_id, entry in work.images
        ]
        predicted: list[Predicted] = []
        failed: list[Failed] = []
        for some in predict(images, work.recipe, classifier):
            if lost.is_set():
                return None
            predicted += some.predicted
            failed += some.failed
        return predicted, failed

    def _classifier_of(self, recipe: Recipe) -> Classifier:
        key = recipe.classifier_key()
        if self._classifier is None or self._classifier[0] != key:
            self._classifier = None  # the old one's memory first
            began = time.monotonic()
            made = make_classifier(recipe, device=self.device, batch_size=self.settings.batch_size)
            logger.info("%s on %s, ready in %.1f s", recipe.model, made.device, time.monotonic() - began)
            self._classifier = (key, made)
        return self._classifier[1]

    @contextmanager
    def _lease(self, claim: Claim) -> Iterator[threading.Event]:
        """Holds a claim while it is worked on; sets the event if it is lost, or no longer wanted."""
        lost, over = threading.Event(), threading.Event()

        def hold() -> None:
            while not over.wait(self.settings.lease / 3):
                try:
                    if (
                        not store.renew(self.engine, claim, worker=self.name, lease=self.settings.lease)
                        and not over.is_set()
                    ):
                        lost.set()
                except SQLAlchemyError as error:
                    logger.warning("job %d: cannot renew its lease: %s", claim.id, str(error).splitlines()[0])

        holder = threading.Thread(target=hold, name=f"lease-{claim.id}", daemon=True)
        holder.start()
        try:
            yield lost
        finally:
            over.set()
            holder.join()


def open_image(root: str, entry: Entry, recipe: Recipe, settings: Settings) -> Pixels:
    """The pixels of a dataset's image.

    Raises:
        Unusable: with the reason.
    """
    data = read(root, entry, settings)
    return decode(data, grayscale=recipe.grayscale, max_pixels=settings.max_pixels)
