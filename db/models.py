"""How models are named. Whether a library has the model that is named, only a worker can say."""

import difflib

BUNDLED_MODEL = "efficientnet_lite0"
#: The libraries of models that are named LIBRARY/NAME.
LIBRARIES = ("torchvision", "timm")
#: How models are named, apart from checkpoints on disk.
MODEL_SOURCES = {
    BUNDLED_MODEL: "EfficientNet-Lite0; its weights come with smoothvote[embedded]",
    "torchvision/NAME[@WEIGHTS]": "any classifier of torchvision, with its default weights or those named",
    "timm/NAME": "any classifier of timm",
}


def check_name(name: str, flag: str = "") -> None:
    """Refuses what is not named like a model.

    Args:
        name: of a model or an architecture.
        flag: what the message begins with.

    Raises:
        ValueError: with the names that may have been meant, and the ways to name a model.
    """
    source, slash, rest = name.partition("/")
    if name == BUNDLED_MODEL or (source in LIBRARIES and rest):
        return
    meant = difflib.get_close_matches(name.lower(), [BUNDLED_MODEL], cutoff=0.8)
    if slash and rest:
        meant = [f"{library}/{rest}" for library in difflib.get_close_matches(source.lower(), LIBRARIES)]
    elif not meant and not slash:
        meant = [f"{library}/{name}" for library in LIBRARIES]
    hint = f"did you mean {' or '.join(meant)}? " if meant else ""
    ways = f"{', '.join(MODEL_SOURCES)}, or a .safetensors, .pth or .pt file with --arch"
    raise ValueError(f"{flag}unknown model {name!r}: {hint}use {ways}")
