"""How the noisy copies of an image in a certificate are cut into parts, and a run's copies into jobs.

Copies have numbers. With n0 = ``recipe.selection``, copies 0 to n0 - 1 select the label, and copies n0 to n0 + n - 1
estimate its probability (CERTIFY in Cohen, Rosenfeld, Kolter, "Certified adversarial robustness via randomized
smoothing", ICML 2019). The labels of a part's copies are counted together, so a report can use every n at which a part
ends: each multiple of 100 up to 1,000, each multiple of 1,000 beyond, and each n that somebody asked for.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Any, NamedTuple

#: n0 where nobody chooses: the number of copies that select the label, as in the paper.
SELECTION = 100
#: The most copies that select, or that estimate: a hundred times as many as the papers have.
MOST = 10_000_000
#: Views in a job of a certified run, about, unless it is known how fast they are computed: some seconds of work for a
#: CPU. A single part may have more.
JOB_VIEWS = 1000

#: Copies in a part, at most. The first thousand copies that estimate are cut finer.
COARSE, FINE = 1000, 100
#: Where certificates that stop early are looked at first, and where it goes on by doubling.
FIRST_LOOKS, DOUBLED = (100, 200, 400, 800), 1000


class Part(NamedTuple):
    """Copies of an image whose labels are counted together, first and last included. ``first`` names the part."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of copies."""
        return self.last - self.first + 1


def parts_of(selection: int, first: int, last: int) -> Iterator[Part]:
    """Cuts copies ``first`` to ``last`` of an image into parts. A part never mixes selection and estimation.

    Args:
        selection: n0, the number of copies that select the label.
        first: the first copy of a job.
        last: its last copy.
    """
    while first <= last:
        part = Part(first, min(_next_cut(selection, first) - 1, last))
        yield part
        first = part.last + 1


def looks(n: int) -> tuple[int, ...]:
    """The numbers of copies that estimate at which a certificate of n copies may stop early (db/stopping.py).

    They are 100, 200, 400, 800, 2000, 4000, 8000, … below n, and n: each is the end of a part.
    """
    found = [look for look in FIRST_LOOKS if look < n]
    look = 2 * DOUBLED
    while look < n:
        found.append(look)
        look *= 2
    return (*found, n)


def steps_of(
    *,
    selection: int,
    first: int,
    last: int,
    levels: int,
    job_size: int | None,
    job_views: int = JOB_VIEWS,
    looks: Sequence[int] = (),
) -> Iterator[tuple[Part, int]]:
    """Cuts copies ``first`` to ``last`` of an image into whole parts for jobs; tells how many images each job has.

    Every image is cut alike: for each part there are as many jobs as all images need, earlier copies before later ones.

    Args:
        selection: n0, the number of copies that select the label.
        first: the first copy that is still to be done.
        last: the last one.
        levels: number of levels; each copy is one view at each.
        job_size: images per job; None: as many as make ``job_views``.
        job_views: views per job, about.
        looks: numbers of copies that estimate; no job has copies from before and after one of them.
    """
    parts, ends = parts_of(selection, first, last), {selection + look for look in looks}
    for copies in _groups(parts, most=job_views // levels, ends=ends):
        yield copies, job_size or max(1, job_views // (levels * copies.size))


def count_jobs(images: int, *, selection: int, copies: int, **how: Any) -> int:
    """How many jobs a new run with so many images, and copies of each, has. For the rest, see ``steps_of``."""
    steps = steps_of(selection=selection, first=0, last=copies - 1, **how)
    return sum(-(-images // step) for _, step in steps)


def _next_cut(selection: int, copy: int) -> int:
    """The first copy of the part after the one that ``copy`` is in."""
    if copy < selection:
        return min(selection, (copy // COARSE + 1) * COARSE)
    n = copy - selection
    width = FINE if n < COARSE else COARSE
    return selection + (n // width + 1) * width


def _groups(parts: Iterator[Part], *, most: int, ends: Set[int]) -> Iterator[Part]:
    """Joins neighbouring parts while they have at most ``most`` copies together; none across a copy in ``ends``."""
    group: Part | None = None
    for part in parts:
        if group and part.last - group.first + 1 <= most and part.first not in ends:
            group = Part(group.first, part.last)
        else:
            if group:
                yield group
            group = part
    if group:
        yield group
