"""What is known before the storm: every answer, which images end their worker, and where in a job it can be killed."""

import zlib

#: Where in a job's life a worker can be made to die.
POINTS = ("claim", "decode", "forward", "commit", "ack")
#: Images whose path has this in it end their worker, as a decoder's segmentation fault would.
POISON = "poison"
#: Images whose path has this in it hang their worker, holding Python's lock, as a decoder that never returns would.
HANG = "hang"


def answer(path: str, level: float) -> tuple[int, int, int]:
    """What the three views of an image are, by definition."""
    number = zlib.crc32(f"{path} {level}".encode())
    return number % 3, number // 3 % 3, number // 9 % 3
