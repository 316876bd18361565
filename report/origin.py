"""The origin of rows: which device and engine computed them, and with which weights, as far as the record tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.found import Computer


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What computed the rows here, and what computed those that are stored, as far as the record tells."""

    here: Computer
    #: Whether the weights and the preprocessing here are those that the run began with.
    same_weights: bool
    same_preprocessing: bool
    weights_sha256: str
    #: Number of images in the sample by what computed them; None: the record does not tell.
    stored: Mapping[Computer | None, int]

    @property
    def same_device(self) -> bool | None:
        """Whether all stored rows were computed on the device that is used here; None if the record does not tell."""
        return self._same([one and one.device for one in self.stored], self.here.device)

    @property
    def same_engine(self) -> bool | None:
        """The same of the engine."""
        return self._same([one and one.engine for one in self.stored], self.here.engine)

    @staticmethod
    def _same(stored: Sequence[str | None], here: str) -> bool | None:
        if any(one not in (None, here) for one in stored):
            return False
        return None if None in stored or not stored else True
