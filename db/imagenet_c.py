"""What ImageNet-C is made of: its corruptions by their published names, and its severities.

Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
2019.
"""

#: The 15 corruptions that the mean corruption error is about, in the paper's order: noise, blur, weather, digital.
CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
#: The four that the paper keeps for validation: one of each kind.
EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
SEVERITIES = (1, 2, 3, 4, 5)
