"""The names of a level's rates and counts, in JSON, CSV, SQL and flags. Importing them imports nothing slow."""

#: The rates of a level, in the order in which they are shown. acc_maj is over the accepted: selective accuracy.
RATES = (
    "acc_ns", "acc_ss", "acc_ds", "acc_maj", "acc_maj_overall", "reject_rate", "coverage",
    "unanimous_rate", "agree_ss", "agree_ds",
)  # fmt: skip
#: Rates of what gets through: a share that is accepted and wrong. They are attack success where the run is an attack.
SUCCESS_RATES = ("attack_success", "attack_success_thresholding")
#: The rates by which the runs of a sweep can be compared.
METRICS = (*RATES, "attack_success")
#: Those that are best where they are least.
LESS_IS_BETTER = ("reject_rate", "attack_success")
COUNTS = ("expected", "predicted", "failed", "skipped", "pending", "labelled")
