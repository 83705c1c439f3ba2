"""What the settings of conditions mean, for the form. docs/alert-rules.md says more."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# By the name of a field, or by "kind.name" where it means something else in that kind.
HELP: Final[dict[str, str | Promise]] = {
    "query": _("In the language of the search box: level:error service:worker. Empty: any line."),
    "window": _("Seconds, up to now, that are looked at."),
    "group_by": _("Fields of lines, like service: an alert for each of their values."),
    "of": _("The lines that are the whole. Empty: all lines."),
    "at_least": _("Where there are fewer, nothing is said."),
    "field": _("The field whose values are counted, like metadata.user_id."),
    "lookback": _("Seconds before the window that are known: what came in them is expected, or is nothing new."),
    "services": _("By their names; * stands for any letters. Empty: all."),
    "categories": _("Only services of these. None: all."),
    "labels": _("Only services with all of these labels."),
    "but": _("Without these services; * stands for any letters."),
    "checks": _("Only checks of these names. Empty: all."),
    "jobs": _("Only heartbeats of these names. Empty: all."),
    "failed": _("A job that says itself that it failed counts, too."),
    "statistic": _("Of the answers in the window."),
    "containers": _("By their names; * stands for any letters. Empty: all."),
    "hosts": _("Only containers of these Docker hosts. Empty: all."),
    "value": _("What is measured; docs/alert-rules.md says what each is."),
    "fine": _("Exit codes that nobody is told of, as a list: [0, 143]. 143 is a container that somebody stopped."),
}


def help_for(kind: str, name: str, *, secret: bool) -> str | Promise:
    return HELP.get(f"{kind}.{name}", HELP.get(name, ""))
