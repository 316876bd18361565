"""The published table of the article "Dealing with Adversarial Inputs for Image Classification".

ResNet-50 (torchvision, IMAGENET1K_V1) on 975 RGB photographs, one per ImageNet class. The article's Acc_Maj is the
selective accuracy, over the accepted images. It cannot be over all images: a majority is right only where two views
are right, which at σ = .375 holds for at most (.0902 + .3097 + .3220) / 2 = .361 of all; the table says .4118.
"""

from db.recipe import DEFAULT_MODEL

MODEL = DEFAULT_MODEL
IMAGES = 975
#: What the numbers of TABLE are, by the names of the report's rates.
COLUMNS = ("acc_ns", "acc_ss", "acc_ds", "acc_maj", "reject_rate")
#: By noise level σ.
TABLE = {
    0.0: (0.8820, 0.8605, 0.8153, 0.8697, 0.0153),
    0.125: (0.6523, 0.7148, 0.6912, 0.7541, 0.0656),
    0.25: (0.3425, 0.5005, 0.4923, 0.5682, 0.1589),
    0.375: (0.0902, 0.3097, 0.3220, 0.4118, 0.3076),
}

#: The recipe fields that `--preset article` sets: the article's method, for any model.
PRESET = {
    "levels": tuple(TABLE),
    "kernel_size": 5,
    "kernel_sigma": 1.0,
    "resize": 256,
    "crop": 224,
    "interpolation": "bilinear",
    "antialias": False,
    "grayscale": "skip",
}
