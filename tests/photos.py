"""A real run, kept as `smoothvote export` wrote it. The outputs in docs/reference/python.md and sql.md are of this run.

EfficientNet-Lite0, `--preset article`, on the demo's twenty photographs, a greyscale one and one that is cut off.
"""

import csv
from pathlib import Path

from rows import jobs
from sqlalchemy import Engine

from db import store, submission
from db.found import Failed, Predicted
from db.recipe import make_recipe
from db.session import writing
from db.store import Entry

EXPORTED = Path(__file__).with_name("photos.csv")
RUN = "9d5dddcc268cf218"
LEVELS = (0.0, 0.125, 0.25, 0.375)


def record_photos(engine: Engine) -> str:
    """Stores the run, and gives its id."""
    with EXPORTED.open() as file:
        rows = list(csv.DictReader(file))
    labels = {row["path"]: int(row["label"]) for row in rows}
    recipe = make_recipe(model="efficientnet_lite0", levels=LEVELS, antialias=False, grayscale="skip")
    with writing(engine) as session:
        entries = [Entry(path=path, label=label, bytes=None) for path, label in labels.items()]
        dataset_id = submission.record_dataset(
            session, name="labels", root="/photos", fingerprint="p" * 64, found=len(labels), entries=entries
        )
        submission.record_run(session, run_id=RUN, dataset_id=dataset_id, name="photos", recipe=recipe, job_size=32)
    claim = store.claim(engine, jobs(engine, RUN)[0].id, worker="w", lease=60)
    assert claim
    ids = {entry.path: image_id for image_id, entry in claim.images}
    found = [
        Predicted(
            image_id=ids[row["path"]],
            level=float(row["level"]),
            **{f"label_{view}": int(row[f"label_{view}"]) for view in ("ns", "ss", "ds")},
            **{f"confidence_{view}": float(row[f"confidence_{view}"]) for view in ("ns", "ss", "ds")},
            label_maj=int(row["label_maj"]) if row["label_maj"] else None,
        )
        for row in rows
        if not row["code"]
    ]
    without = [
        Failed(image_id=ids[row["path"]], code=row["code"], message=row["message"]) for row in rows if row["code"]
    ]
    assert store.finish(engine, claim, found, without)
    return RUN
