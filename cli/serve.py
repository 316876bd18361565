"""The command that serves the web pages."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from report.pictures import Pictures


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; any other needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free port.")
@click.option(
    "--token",
    envvar="SMOOTHVOTE_TOKEN",
    show_envvar=True,
    help="Readers must give it. Better set the variable: other users of this machine can see command lines.",
)
def serve(host: str, port: int, token: str | None) -> None:
    """Look at runs in a browser.

    The pages have reports, curves, images with their views, and live progress. They change nothing.

    Only this machine can open the pages, unless you give another --host, which needs a token. Pictures need the images
    on this machine: thumbnails need Pillow, and the views that the model saw need torch. Everything else needs neither.
    """
    from importlib.util import find_spec

    from db.errors import WrongUse
    from db.settings import load_settings

    if missing := [name for name in ("fastapi", "jinja2", "uvicorn") if find_spec(name) is None]:
        raise WrongUse(f"serve needs {', '.join(missing)}: pip install 'smoothvote[web]'")
    from web.server import serve as serve_pages

    settings = load_settings()

    def draw() -> "Pictures":
        import worker.pictures

        return worker.pictures.Pictures(settings)

    serve_pages(settings, draw if find_spec("PIL") else None, host=host, port=port, token=token)
