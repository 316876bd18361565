"""The error that says why an image has no prediction."""


class Unusable(Exception):
    """One image cannot be used. Reports count by ``code``; ``message`` tells people why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
