"""What the logs room keeps in a database. Blocks and commits belong to the block store (`logs.store.blocks`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.deletion import Collector
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import clock
from logs import query, redaction
from logs.records import LEVELS, NAME_MAX
from logs.rules import Rule, RuleError
from logs.search import SearchError, parse_search
from logs.sources import names

SOURCE_NAME_MAX: Final = 200  # characters in the name of a stream, as DeadLetter has it


class LogBlock(models.Model):
    """Some thousand lines as compressed columns (`logs.store.codec`). Written once, never changed."""

    # The newest commit that has lines in the block; `commits` has the number for each line of a merged block.
    commit = models.BigIntegerField()
    first = models.BigIntegerField()  # µs since the epoch, oldest line
    last = models.BigIntegerField()
    lines = models.PositiveIntegerField()
    size = models.PositiveIntegerField()  # bytes of the columns
    level_mask = models.SmallIntegerField()  # bit n: a line of level n is in it
    base = models.BigIntegerField()
    header = models.BinaryField()
    times = models.BinaryField()
    sequences = models.BinaryField()
    commits = models.BinaryField()
    labels = models.BinaryField()
    ids = models.BinaryField()
    texts = models.BinaryField()
    metadata = models.BinaryField()

    class Meta:
        default_permissions = ()
        permissions = [("read_records", _("Can read logs"))]
        indexes = [
            # A search reads headers newest first within a time range; one towards newer lines, oldest first.
            models.Index(fields=["last", "first"], name="block_by_last"),
            models.Index(fields=["first", "last"], name="block_by_first"),
            # Live viewers ask for what was committed after the last they saw.
            models.Index(fields=["commit"], name="block_by_commit"),
        ]

    def __str__(self) -> str:
        return f"{self.lines:,} lines"


class LogBlockGrams(models.Model):
    """The filters of a block (`logs.store.grams`): a row of its own, for they are read without it and made after it."""

    # No foreign key: whoever deletes blocks deletes their filters, in the same transaction.
    block = models.BigIntegerField(primary_key=True)
    texts = models.BinaryField()
    ids = models.BinaryField()
    metadata = models.BinaryField()
    letters = models.BinaryField()
    literal = models.BooleanField()
    ascii = models.BooleanField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"filters of block {self.pk}"


class LogCommit(models.Model):
    """One append: its number, and which stream entries it stored, so that a second delivery changes nothing."""

    committed_at = models.DateTimeField(default=timezone.now)
    lines = models.PositiveIntegerField()
    # Milliseconds of the oldest and newest entry id; `entries` has them all, packed.
    oldest_entry = models.BigIntegerField()
    newest_entry = models.BigIntegerField()
    entries = models.BinaryField()

    class Meta:
        default_permissions = ()
        indexes = [
            # "Was this entry stored before?" asks for the commits whose entries surround it.
            models.Index(fields=["newest_entry", "oldest_entry"], name="commit_by_entry"),
            models.Index(fields=["committed_at"], name="commit_by_time"),
        ]

    def __str__(self) -> str:
        return f"commit {self.pk}"


class DeadLetter(models.Model):
    """A stream entry that could not be read, kept as it came with the reason. It can be sent again."""

    stream = models.CharField(max_length=SOURCE_NAME_MAX)
    entry_id = models.CharField(max_length=50)
    reason = models.CharField(max_length=500)
    payload = models.JSONField(help_text=_("The entry's fields as text; bytes that are no UTF-8 are escaped."))
    received_at = models.DateTimeField(default=timezone.now)
    replayed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            # The entry may come again when the ingester dies between writing this row and acknowledging.
            models.UniqueConstraint(fields=["stream", "entry_id"], name="dead_letter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.entry_id}"


class LogSource(models.Model):
    """Where lines come from beside PHAROS_LOG_STREAM and HTTP (`logs.sources`)."""

    class Kind(models.TextChoices):
        STREAM = "stream", _("stream")
        CHANNEL = "channel", _("Pub/Sub channel")
        SYSLOG = "syslog", _("syslog")
        DOCKER = "docker", _("Docker")
        FILES = "files", _("files")

    # Kinds that `manage.py listen` works for; ingest reads the others.
    LISTENED: Final = (Kind.SYSLOG, Kind.DOCKER, Kind.FILES)

    kind = models.CharField(
        max_length=10,
        choices=Kind.choices,
        default=Kind.STREAM,
        help_text=_(
            "A stream keeps lines until they are stored. A channel has no memory: what is published while no ingester "
            "listens is lost. Syslog opens a port, Docker follows all containers of a host, files are followed."
        ),
    )
    name = models.CharField(
        max_length=SOURCE_NAME_MAX,
        help_text=_(
            "Of a stream or channel: exact, or a pattern like app:*:logs. Of syslog: udp://127.0.0.1:5514, tcp://… or "
            "udp+tcp://…. Of Docker: unix:///var/run/docker.sock or tcp://host:2375. Of files: a path or a pattern "
            "like /var/log/app/*.log. It is read within 10 seconds of saving. Pharos cuts streams to "
            "PHAROS_LOG_STREAM_MAXLEN once their entries are stored."
        ),
    )
    service = models.CharField(
        max_length=NAME_MAX,
        blank=True,
        help_text=_("Syslog, Docker, files: the service of lines that don't name one, instead of a guess."),
    )
    senders = models.CharField(
        max_length=500,
        blank=True,
        help_text=_(
            "Syslog only: who may send, as addresses and networks with commas: 127.0.0.1, 10.0.0.0/8. Empty: whoever "
            "reaches the address. Syslog has no keys."
        ),
    )
    enabled = models.BooleanField(default=True, help_text=_("What is off is not read; its entries wait."))
    comment = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("log source")
        verbose_name_plural = _("log sources")
        ordering = ["kind", "name"]
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="log_source_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}"

    def clean(self) -> None:
        check = {self.Kind.SYSLOG: names.syslog, self.Kind.DOCKER: names.docker, self.Kind.FILES: names.files}
        try:
            check.get(self.Kind(self.kind), names.redis)(self.name)
        except names.NameProblem as problem:
            raise ValidationError({"name": str(problem)}) from None
        try:
            names.networks(self.senders)
        except names.NameProblem as problem:
            raise ValidationError({"senders": str(problem)}) from None


class Pipeline(models.Model):
    """What happens to lines before they are stored (`logs.rules`). All rows that match a line act on it, in order."""

    position = models.PositiveIntegerField(default=10, help_text=_("Smaller numbers act first."))
    name = models.CharField(max_length=100, help_text=_("What it is for: “health checks”."))
    enabled = models.BooleanField(default=True)
    services = models.CharField(
        max_length=200,
        default="*",
        help_text=_("Whose lines: a service, or a pattern like api-*. * means all; capital and small letters differ."),
    )
    # The admin shows help as HTML.
    expression = models.CharField(
        _("extract"),
        max_length=2_000,
        blank=True,
        help_text=_(
            "A regular expression (RE2), looked for in the message. Groups with the name of a field (level, timestamp, "
            "service, logger, title, message, request_id, trace_id, span_id) set it; others become keys of the "
            "metadata: user=(?P&lt;user_id&gt;\\w+)"
        ),
    )
    minimum = models.CharField(
        _("minimum level"),
        max_length=10,
        blank=True,
        choices=[(level, level) for level in LEVELS[1:]],
        help_text=_("Lines below it are dropped. Empty: none is."),
    )
    drop = models.CharField(
        _("drop query"),
        max_length=query.LENGTH_MAX,
        blank=True,
        help_text=_("Lines it finds are dropped. The language of the Logs page: healthz AND level:&lt;=info"),
    )
    drop_expression = models.CharField(
        max_length=2_000,
        blank=True,
        help_text=_(
            "A regular expression (RE2). Lines in whose message it is found are dropped: ^GET /(healthz|metrics)"
        ),
    )
    keep = models.PositiveSmallIntegerField(
        _("keep per cent"),
        default=100,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text=_(
            "Of trace, debug and info lines. Warnings and errors always stay. Lines with one request id or trace id "
            "stay or go together."
        ),
    )
    labels = models.JSONField(
        default=dict,
        blank=True,
        help_text=_('A JSON object whose keys are added to the metadata where they are missing: {"team": "shop"}'),
    )
    # Counted by every process that takes lines, and written every few seconds.
    dropped = models.PositiveBigIntegerField(default=0, editable=False)
    sampled = models.PositiveBigIntegerField(_("left out by sampling"), default=0, editable=False)
    changed = models.PositiveBigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def only_service(self) -> str:
        """The service, if it is for one only."""
        return "" if any(letter in self.services for letter in "*?[") else self.services

    def meaning(self) -> str:
        """What it does, in a few words."""
        parts = [
            (self.expression, _("extracts")),
            (self.minimum, _("drops below %(minimum)s") % {"minimum": self.minimum}),
            (self.drop or self.drop_expression, _("drops what it finds")),
            (self.keep < 100, _("keeps %(keep)d %% up to info") % {"keep": self.keep}),
            (self.labels, _("adds labels")),
        ]
        return ", ".join(str(words) for given, words in parts if given) or str(_("nothing"))

    def settings(self) -> dict[str, Any]:
        """What makes a rule of it."""
        names = ("name", "services", "minimum", "keep", "drop", "drop_expression", "labels", "expression")
        return {"key": self.pk or 0, **{name: getattr(self, name) for name in names}}

    def rule(self) -> Rule:
        """Raises RuleError."""
        settings = self.settings()
        rule = Rule(**settings)
        rule.made_of = settings
        return rule

    def clean(self) -> None:
        for field in ("name", "services", "expression", "drop", "drop_expression"):
            if "\0" in getattr(self, field):  # PostgreSQL's text has none
                raise ValidationError({field: _("A NUL character can't be kept: remove it.")})
        self.labels = self.labels or {}  # an empty form field is None
        if not isinstance(self.labels, dict):
            raise ValidationError({"labels": _('Expected a JSON object, such as {"team": "shop"}.')})
        try:
            self.rule()
        except RuleError as error:
            raise ValidationError({error.field: str(error)}) from None


class RedactionRule(models.Model):
    """What is removed from lines before they are stored (`logs.redaction`)."""

    class Kind(models.TextChoices):
        KEY = redaction.KEY, _("name of a secret")
        PATTERN = redaction.PATTERN, _("pattern")
        DETECTOR = redaction.DETECTOR, _("built-in detector")

    kind = models.CharField(
        max_length=10,
        choices=Kind.choices,
        default=Kind.KEY,
        help_text=_(
            "A name stands for whatever is its value, in metadata and in texts like name=value. A pattern is a regular "
            "expression of RE2."
        ),
    )
    value = models.CharField(
        max_length=redaction.PATTERN_MAX,
        help_text=_(
            "A name also means the names that end with it, in any spelling: api_key means X-Api-Key and myApiKey. Of a "
            "pattern with one group only the group is removed."
        ),
    )
    enabled = models.BooleanField(default=True, help_text=_("Holds within 5 seconds, for lines that come then."))
    comment = models.CharField(max_length=200, blank=True)
    hits = models.PositiveBigIntegerField(default=0, editable=False, help_text=_("Secrets it has removed."))
    last_hit = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("redaction rule")
        verbose_name_plural = _("redaction rules")
        ordering = ["kind", "value"]
        constraints = [models.UniqueConstraint(fields=["kind", "value"], name="redaction_rule_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"

    @property
    def rule(self) -> redaction.Rule:
        return redaction.Rule(self.kind, self.value)

    def clean(self) -> None:
        try:
            redaction.check(self.rule)
        except redaction.RuleError as error:
            raise ValidationError({"value": str(error)}) from None


class RetentionRule(models.Model):
    """For how long the lines of one service are kept. `logs.retention` says what rules and defaults mean together."""

    class Lines(models.TextChoices):
        ALL = "all", _("every level")
        DEBUG = "debug", _("debug and trace only")

    service = models.CharField(
        max_length=200, help_text=_("Its name exactly as its lines have it: capital and small letters differ.")
    )
    lines = models.CharField(
        max_length=10,
        choices=Lines.choices,
        default=Lines.ALL,
        help_text=_("A rule for debug and trace only goes before a rule for every level."),
    )
    days = models.PositiveIntegerField(
        validators=[MaxValueValidator(36_500)],
        help_text=_("0 keeps them for ever. What is older is deleted within minutes of saving, and can't be got back."),
    )
    comment = models.CharField(max_length=200, blank=True, help_text=_("Why: “invoices, ten years by law”."))

    class Meta:
        ordering = ["service", "lines"]
        constraints = [models.UniqueConstraint(fields=["service", "lines"], name="retention_rule_once")]

    def __str__(self) -> str:
        return f"{self.service}, {self.get_lines_display()}"


class StoreEvent(models.Model):
    """Something that the store did to the lines by itself, for the usage page. The newest hundred are kept."""

    kind = models.CharField(max_length=20)
    at = models.DateTimeField()
    detail = models.JSONField()

    class Meta:
        default_permissions = ()
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M} UTC"


class ArchivedDay(models.Model):
    """A day of lines in the archive, or on its way there or back (`logs.archive`)."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        WRITING = "writing", _("being archived")
        ARCHIVED = "archived", _("archived")
        STALE = "stale", _("late lines wait to be added")
        FAILED = "failed", _("failed, tried again within the hour")
        RESTORING = "restoring", _("being restored")
        RESTORED = "restored", _("archived and restored")

    day = models.DateField(_("day (UTC)"), unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    archived_at = models.DateTimeField(null=True)  # null: its lines may not be deleted yet
    location = models.CharField(max_length=1000)
    lines = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    services = models.JSONField(default=dict, help_text=_("Lines of each service."))
    error = models.TextField(blank=True)
    blocks_done = models.PositiveIntegerField(default=0)
    blocks_all = models.PositiveIntegerField(default=0)
    # Lines of commits up to this number are in the archive; later ones are late lines.
    commit = models.PositiveBigIntegerField(default=0)
    attempt = models.CharField(max_length=32)  # of the last attempt to write it; its manifest has it, too
    restored_at = models.DateTimeField(null=True)
    restored_until = models.DateTimeField(null=True)  # until then its lines stay, whatever their age

    class Meta:
        default_permissions = ("view", "change")
        ordering = ["-day"]

    def __str__(self) -> str:
        return str(self.day)

    @property
    def span(self) -> tuple[int, int]:
        start = clock.micros(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC))
        return start, start + clock.DAY

    @property
    def progress(self) -> str:
        """While it is being worked on: "12 of 40 blocks"."""
        if self.state not in {self.State.WRITING, self.State.RESTORING}:
            return ""
        done = {"done": f"{self.blocks_done:,}", "all": f"{self.blocks_all:,}"}
        return str(_("%(done)s of %(all)s blocks")) % done


def keep_shared(collector: Collector, field: Any, queries: models.QuerySet[SavedQuery], using: str) -> None:
    """`on_delete` of an owner: what is private goes, what others may use stays and is nobody's."""
    models.CASCADE(collector, field, queries.filter(shared=False), using)
    models.SET_NULL(collector, field, queries.filter(shared=True), using)


class SavedQuery(models.Model):
    """A view of the Logs page under a name: what its address has, as it has it, so that "-1h" stays the last hour."""

    # Parameters of the address, and where they are kept.
    PARAMETERS: Final = {"q": "text", "level": "levels", "service": "services", "from": "since", "to": "until"}

    name = models.CharField(max_length=100)
    text = models.CharField(_("query"), max_length=query.LENGTH_MAX, blank=True)
    levels = models.CharField(max_length=100, blank=True, help_text=_("With commas: warn,error,fatal. Empty: all."))
    services = models.TextField(blank=True, help_text=_("With commas. Empty: all."))
    since = models.CharField(_("from"), max_length=40, blank=True, help_text=_("A time, or a period like -24h."))
    until = models.CharField(_("to"), max_length=40, blank=True, help_text=_("A time. Empty: now, and live."))
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=keep_shared,
        related_name="saved_queries",
        db_index=False,  # the constraint on the name has an index that begins with it
        help_text=_("With a user go the private queries; shared ones stay, without an owner."),
    )
    shared = models.BooleanField(default=False, help_text=_("Everyone who may read logs sees it."))
    # Which of the predefined queries it is (`logs.saved.PREDEFINED`); they belong to nobody.
    built_in = models.SlugField(_("predefined"), blank=True, editable=False, db_index=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("saved query")
        verbose_name_plural = _("saved queries")
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                name="saved_query_name",
                violation_error_message=_("There is a query with this name already: choose another one, or remove it."),
            ),
            models.UniqueConstraint(fields=["built_in"], condition=~models.Q(built_in=""), name="saved_query_built_in"),
            models.CheckConstraint(
                condition=models.Q(owner__isnull=False, built_in="")
                | models.Q(owner__isnull=True) & (models.Q(shared=True) | ~models.Q(built_in="")),
                name="saved_query_owned",
            ),
        ]
        indexes = [
            # The menu asks for what others share.
            models.Index(fields=["name"], condition=models.Q(shared=True), name="saved_query_shared"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{reverse('logs:page')}?{self.parameters().urlencode()}"

    def parameters(self) -> QueryDict:
        parameters = QueryDict(mutable=True)
        for parameter, field in self.PARAMETERS.items():
            if value := getattr(self, field):
                parameters[parameter] = value
        return parameters

    def clean(self) -> None:
        if self.owner_id if self.built_in else not (self.owner_id or self.shared):
            raise ValidationError({"owner": _("A query has an owner, unless it is shared or one of the predefined.")})
        if any("\0" in getattr(self, field) for field in ("name", *self.PARAMETERS.values())):
            raise ValidationError(_("A NUL character can't be kept: remove it."))  # PostgreSQL's text has none
        try:
            parse_search(self.parameters(), now=clock.now())
        except SearchError as error:
            raise ValidationError({self.PARAMETERS[error.field]: _reason(error)}) from None


def _reason(error: SearchError) -> str:
    if error.position is None or f"position {error.position}" in error.message:
        return error.message
    return str(_("At position %(position)d: %(message)s")) % {"position": error.position, "message": error.message}
