"""The demo's dataset: the 20 labelled photographs of ImageNet that the package foolbox ships."""

import importlib.util
from pathlib import Path

from db.errors import WrongUse
from db.settings import Settings
from producer.dataset import Dataset, make_dataset
from producer.place import Place
from producer.sources import Contents, Found


def demo_dataset(settings: Settings) -> Dataset:
    """Photographs named ``imagenet_<number>_<class index>.jpg``.

    Raises:
        WrongUse: if foolbox is not installed, or lies outside SMOOTHVOTE_IMAGE_ROOT.
    """
    package = importlib.util.find_spec("foolbox")
    if package is None or package.origin is None:
        raise WrongUse("the demo's photographs come with the package foolbox: pip install 'smoothvote[embedded]'")
    folder = Path(package.origin).parent / "data"
    place = Place(str(folder), None, folder)
    files = place.files(sorted(file.name for file in folder.glob("imagenet_*.jpg")))
    contents = Contents(
        name="demo",
        root=place.root(settings),
        images=[Found(file, int(Path(file.path).stem.split("_")[2])) for file in files],
    )
    return make_dataset(contents)
