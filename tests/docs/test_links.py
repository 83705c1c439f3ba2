"""What README.md and docs/ point at exists: pages, headings in them, files, targets of make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md")])
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
# Looks like a path here: begins with one of our folders, or is a file at the top.
FOLDERS = (
    "monitor/",
    "core/",
    "accounts/",
    "logs/",
    "templates/",
    "static/",
    "scripts/",
    "tests/",
    "benchmarks/",
    "deploy/",
    "docs/",
    "examples/",
)
SUFFIXES = (".md", ".py", ".toml", ".lock", ".example")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def headings(page: Path) -> set[str]:
    """As GitHub names them: small letters, no punctuation, hyphens for spaces."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def looks_like_a_path(text: str) -> bool:
    if not re.fullmatch(r"[\w./-]+", text):
        return False
    return text.startswith(FOLDERS) or ("/" not in text and text.endswith(SUFFIXES))


@BY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(link)

    assert broken == []


@BY_PAGE
def test_named_files_exist(page: Path) -> None:
    named = {text for text in QUOTED.findall(prose(page)) if looks_like_a_path(text)}
    missing = [path for path in named if not (ROOT / path).exists() and not (page.parent / path).exists()]

    assert missing == []


@BY_PAGE
def test_named_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    (?:\w+=\S+ )*)make ([a-z]+)", page.read_text(), re.MULTILINE))

    assert named - targets == set()


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = [link.partition("#")[0] for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
        ahead += [(page.parent / link).resolve() for link in links if link]

    assert {page.resolve() for page in PAGES} - reached == set()


def test_a_path_is_told_from_other_text() -> None:
    assert looks_like_a_path("logs/records.py")
    assert looks_like_a_path("CONTRIBUTING.md")
    assert not looks_like_a_path("POST /api/logs")
    assert not looks_like_a_path("var/logs.sqlite3")
