"""Keys: whatever is random about an image comes from a generator that is seeded by the image, the run and the purpose.

So an image gets the same noise in every batch, on every worker, in any order and at every retry.
"""

import hashlib
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

#: The state of PyTorch's CPU generator, a Mersenne Twister: bytes before its words, and number of words, 8 bytes each.
HEADER, WORDS = 24, 624


class Key(NamedTuple):
    """What the random numbers of one image in one run depend on."""

    #: sha256 of the image file's bytes.
    digest: bytes
    #: The run's seed.
    seed: int

    def generator(self, purpose: str = "", level: float | None = None) -> "torch.Generator":
        """A new CPU generator. The same arguments give the same numbers, on any machine.

        Args:
            purpose: what the numbers are for, as a perturbation's name; empty for the article's Gaussian noise alone.
            level: for numbers that are drawn anew for each level.
        """
        # Imported here: a machine that only submits runs has no torch.
        import torch

        # PyTorch's CPU generator uses 32 bits of a seed and ignores the rest.
        return torch.Generator().manual_seed(int.from_bytes(self._seed(purpose, level)[:4], "big"))

    def copy_generator(self, number: int) -> "torch.Generator":
        """As ``generator``, for a noisy copy of a certificate. The key decides the generator's whole state.

        With a seed of 32 bits, two among the 100,000 copies of an image would probably be the same, and a certificate
        needs independent copies.

        Args:
            number: of the copy, from 0.
        """
        import torch

        generator = torch.Generator()
        state = generator.manual_seed(0).get_state()  # a seeded one's flags: no number is drawn yet
        words = hashlib.shake_256(self._seed(f"copy {number}", None)).digest(4 * WORDS)
        state[HEADER : HEADER + 8 * WORDS].view(torch.int64)[:] = torch.frombuffer(bytearray(words), dtype=torch.int32)
        return generator.set_state(state)

    def numpy_generator(self, purpose: str, level: float | None = None) -> "np.random.Generator":
        """As ``generator``, for NumPy, whose numbers may change with its version."""
        import numpy as np

        return np.random.Generator(np.random.PCG64(int.from_bytes(self._seed(purpose, level), "big")))

    def _seed(self, purpose: str, level: float | None) -> bytes:
        drawn_anew = b"" if level is None else b"\0" + struct.pack(">d", level)
        return hashlib.sha256(self.digest + self.seed.to_bytes(8, "big") + purpose.encode() + drawn_anew).digest()
