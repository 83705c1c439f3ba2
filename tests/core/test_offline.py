"""Templates and static files name no other host, and no icon that our font lacks."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from monitor import navigation
from services.models.watched import Category

FOREIGN = re.compile(r"""(?:src|href|action)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import|from ["']https?:""")
OURS = [*settings.BASE_DIR.glob("templates/**/*.html"), *settings.BASE_DIR.glob("static/[pf]*/*.*s*")]
ICON = re.compile(r"""material-symbols-outlined[^>]*>\s*(?:\{\{[^}]*:"([a-z_0-9,]+)"|([a-z_0-9]+))""")
ACTION = re.compile(r"""@action\(.*icon="([a-z_0-9]+)\"""")


def test_they_name_no_other_host() -> None:
    assert OURS
    assert [path.name for path in OURS if FOREIGN.search(path.read_text())] == []


def test_every_icon_is_in_the_font() -> None:
    """Or add it to static/fonts/icons.txt and run scripts/fonts."""
    found = [each for path in OURS if path.suffix != ".css" for each in ICON.findall(path.read_text())]
    used = {name for either, one in found for name in (either or one).split(",")}
    used |= {name for path in settings.BASE_DIR.glob("*/admin*.py") for name in ACTION.findall(path.read_text())}
    used |= {screen.icon for screen in navigation.SCREENS} | {category.icon for category in Category}
    used |= set(re.findall(r'_entry\("[^"]+", "([a-z_0-9]+)"', Path(navigation.__file__).read_text()))
    assert used > {"search", "dns", "check_box", "add_link", "neurology"}
    assert used <= set((settings.BASE_DIR / "static/fonts/icons.txt").read_text().split())
