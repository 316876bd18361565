"""Shards as their own tools write them: tar files, and tables as the Hugging Face library ``datasets`` writes them."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pa = pytest.importorskip("pyarrow", reason="Parquet and Arrow need smoothvote[shards]")
pq = pytest.importorskip("pyarrow.parquet")


class Row(NamedTuple):
    data: bytes | None
    path: str | None = None
    label: Any = None


def write_tar(file: Path, parts: Mapping[str, bytes], *, form: int = tarfile.USTAR_FORMAT, mode: Any = "w") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode, format=form) as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def table(rows: Sequence[Row], *, names: Sequence[str] | None = None, image: str = "image") -> Any:
    """The columns and the metadata that `datasets` 5.2 gave a dataset with the features Image() and ClassLabel()."""
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": row.data, "path": row.path} for row in rows], struct)
    features: dict[str, Any] = {image: {"_type": "Image"}}
    if names:
        features["label"] = {"names": list(names), "_type": "ClassLabel"}
    labels = pa.array([row.label for row in rows])
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table({image: images, "label": labels}).replace_schema_metadata(about)


def write_arrow(file: Path, rows: Any, *, batch: int = 2, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(str(file), rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(rows, max_chunksize=batch)
    return file


def write_parquet(file: Path, rows: Any, *, group: int = 2, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, file, row_group_size=group, **options)
    return file
