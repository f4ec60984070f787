"""What the site takes from the code: the help of every command, and links out of docs/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

COMMANDS = "<!-- commands -->"
REPOSITORY_LINK = re.compile(r"\]\((?:\.\./)+((?:src|tests|benchmarks|examples|README)[^)]*)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the commands' help in its place; links to files outside the site become their
    names.
    """
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, commands())
    return REPOSITORY_LINK.sub(r"](#) (`\1`)", markdown)


def commands() -> str:
    """A section a command: what `lumiere COMMAND --help` prints."""
    overview = help_of()
    names = re.findall(r"^  ([a-z-]+) ", overview, re.MULTILINE)
    sections = [f"```text\n{overview}```"]
    sections += [f"## lumiere {name}\n\n```text\n{help_of(name)}```" for name in names]
    return "\n\n".join(sections)


def help_of(*command: str) -> str:
    """The help of a command, as wide as a page."""
    line = [sys.executable, "-m", "openlumiere.apps.cli", *command, "--help"]
    wide = os.environ | {"COLUMNS": "96"}
    return subprocess.run(line, capture_output=True, text=True, check=True, env=wide).stdout
