"""The workers' room: a job becomes pixels, views, labels, votes and rows.

Imports db, never producer. Torch is imported late, by the process that computes.
"""

import os

# Read when Celery's process pool (billiard) is imported, so it stands before every other import of this room. A
# service manager sends SIGTERM to all processes of a worker, and a child that obeyed would drop its job. With this
# setting children ignore SIGTERM: the parent lets them finish, and if it must end them it sends SIGUSR2 instead.
os.environ["REMAP_SIGTERM"] = "SIGUSR2"
