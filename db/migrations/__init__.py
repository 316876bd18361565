"""Migrations, run by `smoothvote db upgrade` as a step of its own; workers never run them as they start.

A revision is a generation and a step, two digits each. A step only adds, so code of the version before goes on beside
it. A migration that other code could not live with begins a new generation: change the name of the queue, too
(db/message.py).
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def upgrade(engine: Engine) -> None:
    """Brings a database, which may be empty, to this code's revision; does nothing if it is there already."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["engine"] = engine
    command.upgrade(config, "head")
