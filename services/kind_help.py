"""What the options and secrets of checks mean, for the form. docs/checks.md says more."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise

# By the name of a field, or by "kind.name" where it means something else in that kind.
HELP: Final[dict[str, Text]] = {
    "method": _("How the address is asked."),
    "body": _("What is sent, with POST, PUT and PATCH."),
    "expected": _("Statuses that are right: 200, 200-299 or 2xx."),
    "keyword": _("A text that must be in the answer."),
    "keyword_absent": _("A text that must not be in the answer."),
    "json": _(
        "Values in the answer that must be as they should, as a list: "
        '[{"path": "queue.length", "at_most": 100}, {"path": "status", "equals": "ok"}]. '
        "Paths are JMESPath; there are equals, not_equals, at_least, at_most."
    ),
    "headers": _("Headers without secrets."),
    "redirects": _("Whether the probe goes where a redirect leads."),
    "verify": _("The certificate must be valid and of that name."),
    "ca": _("A certificate authority of your own, as PEM, instead of the system’s."),
    "warn_days": _("A certificate that ends within so many days counts as degraded; 0: never."),
    "query": _("One SQL query, in a transaction that can’t write."),
    "postgres.expected": _('The first value of the first row, as JSON: 1, true or "ready". Empty: any.'),
    "at_most": _('Limits, as JSON: {"connected_clients": 500}.'),
    "at_least": _('Limits, as JSON: {"connected_slaves": 1}.'),
    "equals": _("Fields that must be as they should: role: master."),
    "send": _("What is said first, as it is."),
    "expect": _("A text that must be in what the other side says."),
    "tls": _("Whether the connection is encrypted."),
    "record": _("What kind of record is looked up."),
    "dns.expected": _("Each of these must be among the records, as a zone file writes them."),
    "server": _("The name server that is asked, instead of this machine’s own."),
    "name": _("The name that the certificate must be for, if it isn’t the target’s."),
    "queues": _('How many tasks may wait in each queue, as JSON: {"celery": 100}.'),
    "workers": _("So many workers must be connected; 0: nobody looks."),
    "prefix": _("The broker’s global_keyprefix, if it has one."),
    "issuer": _("The issuer that the document must name, if it isn’t the target."),
    "period": _("Seconds from ping to ping, if there is no cron expression."),
    "cron": _("When the job runs, as in its crontab: 0 3 * * MON-FRI."),
    "zone": _("The time zone of the cron expression."),
    "grace": _("Seconds that a ping may be late."),
    "max_runtime": _("Seconds that a run may take from its start to its success; 0: as long as the grace."),
    "secrets.headers": _("Headers with tokens, like Authorization: Bearer …"),
    "secrets.username": _("The name of the login."),
    "secrets.password": _("The password of the login."),
    "secrets.body": _("What is sent, if it has secrets in it; instead of the body above."),
    "secrets.dsn": _("The whole address, if all of it is secret; instead of the target."),
}


def help_for(kind: str, name: str, *, secret: bool) -> Text:
    general = f"secrets.{name}" if secret else name
    return HELP.get(f"{kind}.{general}", HELP.get(general, ""))
