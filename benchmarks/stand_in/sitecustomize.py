"""Gives a worker a device that only sleeps, in the place of PyTorch and a model.

Python runs this file as it starts, if this folder is on PYTHONPATH: in every process that `smoothvote worker` starts,
of this checkout or of an older one. There, device.py stands in for worker/compute.py.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType


class StandIn(MetaPathFinder):
    """Finds the module that computes here."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called by Python for every module that is imported."""
        if name != "worker.compute":
            return None
        return spec_from_file_location(name, Path(__file__).parent / "device.py")


sys.meta_path.insert(0, StandIn())
