"""Every file that a page links to exists, and so does every file of ours that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
NAMED = re.compile(
    r"`((?:src|tests|docs|benchmarks|examples)/[\w/.-]+|[a-z_]+/[\w/]+\.py)(?:::\w+)?`"
)


def missing(page: Path) -> list[str]:
    """Links and names on a page that lead nowhere."""
    text = page.read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    names = [name for name in NAMED.findall(text) if page.name != "CHANGELOG.md"]
    return [link for link in links if not (page.parent / link).exists()] + [
        name for name in names if not any((base / name).exists() for base in bases())
    ]


def bases() -> tuple[Path, ...]:
    """From where pages name files."""
    return ROOT, ROOT / "src", ROOT / "src/openlumiere", ROOT / "tests"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_files_that_exist(page):
    assert not missing(page)


def test_what_is_missing_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[here](page.md) [gone](no.md) `models/style.py` `models/no.py::name`")
    assert missing(page) == ["no.md", "models/no.py"]
    assert len(PAGES) > 20


def test_files_of_tests_have_names_of_their_own():
    """Test folders are no packages: two files of one name would be one module."""
    names = [path.stem for path in ROOT.glob("tests/**/*.py") if path.stem != "conftest"]
    assert len(names) == len(set(names))
