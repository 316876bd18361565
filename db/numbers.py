"""Numbers as people write them."""


def number(text: str) -> float:
    """A number or a fraction of two, such as 0.25 or 4/255.

    Raises:
        ValueError: if it is neither.
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by zero") from None
