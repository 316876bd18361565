"""How many jobs the queue holds: deep enough that no worker finds it empty, and otherwise as shallow as possible.

The queue is first in, first out, so whoever submits a run waits for the jobs that are on it.
"""

from dataclasses import dataclass, field

#: The fewest jobs that the queue is filled to, if the window allows them.
FEW = 16
#: Seconds of the workers' work that the queue is filled to.
SECONDS = 2.0
#: Shortest and longest time between two looks at the queue's length, in seconds.
SOONEST, LATEST = 0.005, 0.1


@dataclass
class Depth:
    """The depth that the queue is filled to, adapted at each filling to what workers took since the last one."""

    #: The most jobs on the queue at once: the setting `window`.
    most: int
    #: Jobs that the queue is filled to.
    full: int = field(init=False)
    _left: int = field(init=False, default=0)
    _since: float | None = field(init=False, default=None)
    _rate: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.full = min(FEW, self.most)

    def is_low(self, queued: int) -> bool:
        """Whether it is time to fill the queue: half of it was taken."""
        return queued <= self.full // 2

    def adapt(self, queued: int, at: float) -> None:
        """Chooses the depth for a filling, at a moment in seconds at which so many jobs are queued."""
        if self._since is None or at <= self._since:
            return
        # Another dispatcher may have filled the queue meanwhile.
        taken = max(0, self._left - queued)
        self._rate = taken / (at - self._since)
        wanted = self._rate * SECONDS
        if queued == 0 and taken:  # workers may have waited, and would have taken more
            wanted = max(wanted, 2 * self.full)
        self.full = min(max(FEW, round(wanted)), self.most)

    def filled(self, queued: int, at: float) -> None:
        """Notes how many jobs are queued after a filling."""
        self._left, self._since = queued, at

    def pause(self, queued: int) -> float:
        """Seconds until the next look: half of the time that workers need until the queue is low."""
        if self._rate == 0:
            return LATEST
        return min(max(SOONEST, (queued - self.full / 2) / self._rate / 2), LATEST)
