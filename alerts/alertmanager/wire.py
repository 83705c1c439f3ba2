"""The JSON of Alertmanager's API v2: what comes, checked, and what goes. Pure.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from alerts.labels import NAME
from alerts.matchers import MATCHERS_MAX, Matcher, MatcherError, parse
from alerts.models import Alert, Silence

RESOLVE_TIMEOUT: Final = timedelta(minutes=5)  # of an alert that is sent without an end
ALERTS_MAX: Final = 5_000  # in one request; Prometheus sends 64
LABELS_MAX: Final = 64
NAME_MAX: Final = 200
LABEL_MAX: Final = 2_000  # characters
ANNOTATION_MAX: Final = 10_000
URL_MAX: Final = 2_000
WORDS_MAX: Final = 200  # of a complaint


class WireError(ValueError):
    """What was expected, and what came."""


class PostedAlert(msgspec.Struct, rename="camel"):
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str | None = msgspec.field(default="", name="generatorURL")


class PostedMatcher(msgspec.Struct, rename="camel"):
    name: str
    value: str
    is_regex: bool
    is_equal: bool = True


class PostedSilence(msgspec.Struct, rename="camel"):
    matchers: list[PostedMatcher]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    id: str | None = None


class Given(msgspec.Struct, frozen=True):
    """An alert that somebody has sent, with nothing left open."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    generator_url: str


def alerts(body: bytes) -> list[Any]:
    """As they came; `given` looks at each. Raises WireError."""
    found: list[Any] = _decoded(body, list[Any])
    if len(found) > ALERTS_MAX:
        raise WireError(f"expected at most {ALERTS_MAX:,} alerts in one request, got {len(found):,}: send fewer")
    return found


def given(value: object, now: datetime) -> Given:
    """Times that are missing are as Alertmanager takes them. Raises WireError."""
    try:
        posted = msgspec.convert(value, PostedAlert)
    except msgspec.ValidationError as error:
        raise WireError(str(error).replace("`", "")[:WORDS_MAX]) from None
    # A label without a text is none.
    labels = {name: text for name, text in posted.labels.items() if text}
    _bounded("labels", labels, LABEL_MAX)
    _bounded("annotations", posted.annotations, ANNOTATION_MAX)
    if not labels:
        raise WireError("expected at least one label with a text")
    ends_at = _moment(posted.ends_at)
    starts_at = _moment(posted.starts_at) or ends_at or now
    if ends_at and ends_at < starts_at:
        raise WireError("expected endsAt after startsAt")
    url = posted.generator_url or ""
    return Given(labels, posted.annotations, starts_at, ends_at or now + RESOLVE_TIMEOUT, url[:URL_MAX])


def _bounded(what: str, pairs: Mapping[str, str], text_max: int) -> None:
    if len(pairs) > LABELS_MAX:
        raise WireError(f"expected at most {LABELS_MAX} {what}, got {len(pairs)}")
    for name, text in pairs.items():
        if not NAME.fullmatch(name) or len(name) > NAME_MAX:
            raise WireError(f"expected names of letters, digits and _ in {what}, got {name[:40]!r}")
        if len(text) > text_max:
            raise WireError(f"expected at most {text_max:,} characters in {name[:40]}, got {len(text):,}")
        if "\0" in text:
            raise WireError(f"expected a text without NUL in {name[:40]}")


def silence(body: bytes) -> tuple[PostedSilence, list[str]]:
    """And its matchers as rows keep them. Raises WireError."""
    posted = _decoded(body, PostedSilence)
    if not posted.matchers:
        raise WireError("expected at least one matcher")
    if len(posted.matchers) > MATCHERS_MAX:
        raise WireError(f"expected at most {MATCHERS_MAX} matchers, got {len(posted.matchers)}")
    made = [Matcher(each.name, each.value, each.is_regex, each.is_equal) for each in posted.matchers]
    try:
        found = [str(parse(str(each))) for each in made]
    except MatcherError as error:
        raise WireError(str(error)) from None
    posted.starts_at, posted.ends_at = _aware(posted.starts_at), _aware(posted.ends_at)
    return posted, found


def _decoded(body: bytes, shape: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except RecursionError:
        raise WireError("expected JSON that is less deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(str(error).replace("`", "")[:WORDS_MAX]) from None


def _moment(value: datetime | None) -> datetime | None:
    """Go sends its time zero for none."""
    return None if value is None or value.year == 1 else _aware(value)


def _aware(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise WireError(f"expected a time that a calendar has, got {value.isoformat()}") from None


# --- What goes -----------------------------------------------------------------------------------------------------


def alert(
    row: Alert, now: datetime, *, receivers: Sequence[str], silenced_by: Sequence[str], inhibited_by: Sequence[str]
) -> dict[str, Any]:
    return {
        "labels": row.labels,
        "annotations": row.annotations,
        "startsAt": time(row.fired_at or row.active_at),
        # Our own rules say when it is over: until then it lasts.
        "endsAt": time(row.ends_at or now + RESOLVE_TIMEOUT),
        "updatedAt": time(row.true_at),
        "generatorURL": row.generator_url,
        "fingerprint": row.fingerprint,
        "receivers": [{"name": name} for name in receivers],
        "status": {
            "state": "suppressed" if silenced_by or inhibited_by else "active",
            "silencedBy": list(silenced_by),
            "inhibitedBy": list(inhibited_by),
        },
    }


def silence_row(row: Silence, now: datetime) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "status": {"state": silence_state(row, now)},
        "matchers": [_matcher(parse(text)) for text in row.matchers],
        "startsAt": time(row.starts_at),
        "endsAt": time(row.ends_at),
        "updatedAt": time(row.created_at),
        "createdBy": row.created_by,
        "comment": row.comment,
    }


def _matcher(found: Matcher) -> dict[str, Any]:
    return {"name": found.name, "value": found.value, "isRegex": found.is_regex, "isEqual": found.is_equal}


def silence_state(row: Silence, now: datetime) -> str:
    if row.ends_at <= now:
        return "expired"
    return "pending" if row.starts_at > now else "active"


def time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
