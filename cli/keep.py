"""The command that looks after the database."""

import click


@click.group()
def db() -> None:
    """Create or upgrade the database."""


@db.command()
def upgrade() -> None:
    """Create the tables of the database, or bring them to this version: once, before new workers start."""
    from db.errors import WrongUse
    from db.migrations import upgrade as migrate
    from db.session import current_revision, open_engine, shown
    from db.settings import load_settings
    from db.tables import REVISION

    settings = load_settings()
    if settings.embedded_database:
        settings.home.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings)
    before = current_revision(engine)
    if (before or "") > REVISION:
        raise WrongUse(
            f"the database is at revision {before}, newer than this code's {REVISION}: install the newer smoothvote"
        )
    migrate(engine)
    click.echo(f"{shown(engine)}: {before or 'empty'} → {current_revision(engine)}", err=True)


VERBS = (db,)
