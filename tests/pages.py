"""README and docs as data: their blocks of commands and code, their links; and a reader who types a page's commands.

What a block's language says:

    console   commands that a test runs as they stand, one a line behind `$ `
    sh        commands that need a network, a GPU, a container or an hour: a test checks that what they name exists
    python    code that a test runs (reference/python.md), or files that it writes and tests (how-to/extend.md)
    sql       queries that a test runs, each with its answer below (reference/sql.md)
    text      outputs, files and formulas; `<!-- file: NAME -->` above one is a file that the page's reader has
"""

import re
import shlex
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from commands import call, environment, share_models

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
#: In the order in which a newcomer reads them.
PAGES = [README, DOCS / "README.md", DOCS / "tutorial.md", *sorted(DOCS.glob("*/*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

#: Commands that go on until they are ended.
SERVICES = ("worker", "serve", "dispatch")
#: Commands that start processes to their end. All others of `smoothvote` are typed in this process.
WITH_WORKERS = ("run", "certify", "sweep", "reproduce", "demo")
#: What a reader's shell does, and a test's need not: `make` is what runs the tests.
NOT_RUN = ("make", "source")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page: Path) -> list[str]:
    """What the page's reader types, in its order."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), f"{page}: a console block holds commands only, behind `$ `"
    return [line[2:] for line in lines]


def scripts(page: Path) -> list[list[str]]:
    """Commands of the page that are not run, as words."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def files(page: Path) -> dict[str, str]:
    """Files that the page's reader has, by name."""
    return dict(re.findall(r"^<!-- file: (\S+) -->\n```text\n(.*?)^```", page.read_text(), re.M | re.S))


def links(page: Path) -> list[str]:
    """Links and pictures that lead to files here, or to headings."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page.read_text(), re.M | re.S)
    assert found, f"{page.name} has no heading {heading!r}"
    return found[1]


def named(text: str) -> set[str]:
    """The words that stand as code in a text."""
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


class Reader:
    """Somebody who types the commands of pages in one folder, and leaves services running from page to page.

    Args:
        folder: with photographs in `photos`.
        servers: environment variables whose exported values are replaced: the reader's servers are the test's.
    """

    def __init__(self, folder: Path, servers: dict[str, str]) -> None:
        self.folder, self.servers = folder, servers
        share_models(folder / ".smoothvote")
        self.path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        #: By what was typed, and what had been exported then.
        self.services: dict[str, subprocess.Popen[str]] = {}

    def follow(self, page: Path) -> None:
        """Types a page's commands, in a new terminal and with the files that the page's reader has."""
        for name, content in files(page).items():
            (self.folder / name).write_text(content)
        exported: dict[str, str] = {}
        for command in commands(page):
            words = shlex.split(command)
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                exported[name] = self.servers.get(name, value)
            elif words[0] not in NOT_RUN:
                self.type(command, exported)

    def type(self, command: str, exported: dict[str, str]) -> None:
        """Runs a command to its end, which must be a success; a service goes on."""
        words, env = shlex.split(command), environment(self.path | exported)
        if words[0] == "smoothvote" and words[1] in SERVICES:
            if f"{command} {exported}" not in self.services:
                service = subprocess.Popen(words, cwd=self.folder, env=env, stderr=subprocess.PIPE, text=True)
                self.services[f"{command} {exported}"] = service
            return
        if words[0] == "smoothvote" and words[1] not in WITH_WORKERS:
            with chdir(self.folder):
                call(*words[1:], cwd=self.folder, env=exported)
            return
        done = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"

    def leave(self) -> None:
        """Ends the services, which must have been running."""
        early = {command: service.poll() for command, service in self.services.items()}
        for service in self.services.values():
            service.terminate()
        for command, service in self.services.items():
            said = service.communicate(timeout=60)[1]
            # Another program may listen at the port that a page names.
            assert early[command] is None or "it is taken" in said, f"{command}: {early[command]}\n{said}"
