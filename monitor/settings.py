"""The one settings module. Everything that differs between two installations is an environment variable;
docs/configuration.md lists them."""

import logging
import sys
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from core.headers import content_policy
from monitor import env, teams

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.data_dir("PHAROS_DATA_DIR", BASE_DIR / "var")
HOST = env.host("PHAROS_HOST", default="127.0.0.1")
PORT = env.integer("PHAROS_PORT", default=8000, low=1, high=65_535)

DEBUG = env.boolean("PHAROS_DEBUG", default=False)
SECRET_KEY = env.secret_key("PHAROS_SECRET_KEY", DATA_DIR)
SECRET_KEY_FALLBACKS = env.words("PHAROS_SECRET_KEY_FALLBACKS")
# Used at the first start only: see monitor/bootstrap.py.
ADMIN_PASSWORD = env.text("PHAROS_ADMIN_PASSWORD")
API_KEY = env.text("PHAROS_API_KEY")

ALLOWED_HOSTS = env.words("PHAROS_ALLOWED_HOSTS", default="127.0.0.1,localhost,[::1]") + (
    [] if HOST in {"0.0.0.0", "::"} else [HOST]  # noqa: S104 - compared, not bound
)
CSRF_TRUSTED_ORIGINS = env.words("PHAROS_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "accounts.apps.AdminConfig",  # monitor.urls looks for the screens
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "template_partials",
    # Without "allauth" itself, whose bare templates would be found for a page that we have forgotten to dress.
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "auditlog",
    "csp",
    "core",
    "accounts",
    "logs",
    "services",
    "alerts",
    "monitor",
]

MIDDLEWARE = [
    "logs.middleware.request_log",
    "accounts.acting.remember_request",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "core.headers.permissions_policy",
    "core.packing.packed_pages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "core.timezone.reader_timezone",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.viewers.viewers",
]

ROOT_URLCONF = "monitor.urls"
ASGI_APPLICATION = "monitor.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Databases -------------------------------------------------------------------------------------------------
# On SQLite the log store has a file, and so a write lock, of its own: a burst of lines never delays a login.

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASE_URL = env.url("DATABASE_URL", schemes=["postgres", "postgresql", "sqlite"])


def sqlite(name: str, page_size: int = 4096) -> dict[str, object]:
    pragmas = "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;"
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / name,
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": pragmas},
        "NEW_FILE": f"PRAGMA page_size={page_size}; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;",
    }


if DATABASE_URL.startswith("postgres"):
    try:
        DATABASES = {"default": dict(dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True))}
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL can't be read: {error}.") from error
    if DATABASE_PASSWORD := env.text("DATABASE_PASSWORD"):
        DATABASES["default"]["PASSWORD"] = DATABASE_PASSWORD
else:
    _default = sqlite("pharos.sqlite3")
    if DATABASE_URL:
        _default["NAME"] = DATABASE_URL.partition("://")[2].removeprefix("/") or DATA_DIR / "pharos.sqlite3"
    DATABASES = {"default": _default, "logs": sqlite("logs.sqlite3", page_size=16_384)}

DATABASE_ROUTERS = ["logs.store.router.LogRouter"]
LOG_DATABASE = "logs" if "logs" in DATABASES else "default"
LOG_STORES = {
    "default": {"BACKEND": "logs.store.blocks.BlockStore", "OPTIONS": {"database": LOG_DATABASE}},
}

# --- Redis: broker, channel layer, log stream --------------------------------------------------------------------

REDIS_SCHEMES = ("redis", "rediss", "unix")
REDIS_URL = env.url("REDIS_URL", "Logging__RedisConnection", schemes=REDIS_SCHEMES)
# Without a Redis of the user's own, `manage.py up` starts a private Valkey on this socket and port.
VALKEY_SOCKET = env.socket_path(DATA_DIR)
VALKEY_PORT = env.integer("PHAROS_REDIS_PORT", default=6390, low=1, high=65_535)
EMBEDDED_REDIS = not REDIS_URL
REDIS_URL = REDIS_URL or f"unix://{VALKEY_SOCKET}?db=0"

LOG_STREAMS = env.words("PHAROS_LOG_STREAM", "Logging__StreamName", default="pharos:logs")
LOG_STREAM_MAXLEN = env.integer(
    "PHAROS_LOG_STREAM_MAXLEN", "Logging__MaxStreamLength", default=10_000, low=100, high=100_000_000
)
# Stored by nobody yet, in bytes of the streams: from here on senders are told to wait (429).
LOG_BACKLOG_MAX = env.integer("PHAROS_LOG_BACKLOG_MAX_BYTES", default=256 << 20, low=1 << 20, high=1 << 40)
LOG_BODY_MAX = env.integer("PHAROS_LOG_BODY_MAX_BYTES", default=32 << 20, low=1 << 10, high=1 << 30)
# For how many days lines are kept; 0 is for ever. Rules for single services are in the admin.
LOG_RETENTION_DAYS = env.integer("PHAROS_LOG_RETENTION_DAYS", default=30, low=0, high=36_500)
LOG_RETENTION_DEBUG_DAYS = env.integer("PHAROS_LOG_RETENTION_DEBUG_DAYS", default=7, low=0, high=36_500)
# What the columns of stored lines may take, in bytes; 0 is no limit.
LOG_DISK_MAX = env.integer("PHAROS_LOG_DISK_MAX_BYTES", default=0, low=0, high=1 << 50)
# Where days that are so many days old are archived; empty is nowhere.
LOG_ARCHIVE_URL = env.text("PHAROS_ARCHIVE_URL")
LOG_ARCHIVE_AFTER_DAYS = env.integer("PHAROS_ARCHIVE_AFTER_DAYS", default=7, low=1, high=36_500)
if 0 < LOG_DISK_MAX < 1 << 20:
    # "50" was meant as gigabytes; as bytes it would drop every line.
    raise ImproperlyConfigured(
        f"PHAROS_LOG_DISK_MAX_BYTES must be 0 (no limit) or at least {1 << 20:,} bytes, but it is {LOG_DISK_MAX}."
    )
# Further names of record fields: PHAROS_FIELD_ALIASES="request_id=x-corr,service=app".
LOG_FIELD_ALIASES = {alias: name for name, alias in env.pairs("PHAROS_FIELD_ALIASES").items()}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "pharos"},
    }
}

CACHES = {
    "default": {
        "BACKEND": "core.cache.SharedCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "pharos",
        "OPTIONS": {
            "serializer": "core.cache.JsonSerializer",
            "socket_timeout": 1,
            "socket_connect_timeout": 1,
        },
    }
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "pharos"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_DB_REUSE_MAX = sys.maxsize  # tasks: monitor/celery.py ends connections when it is time
CELERY_BEAT_SCHEDULE = {
    # A tick lives shorter than its interval, so that a worker that was away doesn't work off a queue of old ticks.
    "tick": {"task": "monitor.tasks.tick", "schedule": 5, "options": {"expires": 5}},
    "poll": {"task": "services.tasks.tick", "schedule": 1, "options": {"expires": 1}},
    "settle-services": {"task": "services.tasks.settle", "schedule": 30, "options": {"expires": 30}},
    "roll-up-results": {"task": "services.tasks.upkeep", "schedule": 60, "options": {"expires": 60}},
    "watch-the-time": {"task": "services.tasks.watch_time", "schedule": 5, "options": {"expires": 5}},
    "prune-pings": {"task": "services.tasks.prune_pings", "schedule": 3600, "options": {"expires": 3600}},
    "maintain-log-store": {"task": "logs.tasks.maintain", "schedule": 5, "options": {"expires": 5}},
    "retain-logs": {"task": "logs.tasks.retain", "schedule": 600, "options": {"expires": 600}},
    "watch-docker": {"task": "services.tasks.watch_docker", "schedule": 1, "options": {"expires": 1}},
    "keep-container-samples": {"task": "services.tasks.keep_samples", "schedule": 600, "options": {"expires": 600}},
    "freeze-evidence": {"task": "alerts.tasks.freeze_evidence", "schedule": 2, "options": {"expires": 2}},
    "archive-logs": {"task": "logs.tasks.archive", "schedule": 3600, "options": {"expires": 3600}},
    # Half of it is what somebody who is to be told waits for on average.
    "alerts": {"task": "alerts.tasks.tick", "schedule": 0.5, "options": {"expires": 0.5}},
    "watch-alerts": {"task": "alerts.tasks.watch", "schedule": 10, "options": {"expires": 10}},
    "prune-audit-trail": {"task": "accounts.tasks.prune_trail", "schedule": 3600, "options": {"expires": 3600}},
    "prune-alerts": {"task": "alerts.tasks.prune", "schedule": 3600, "options": {"expires": 3600}},
    "warn-of-expiring-keys": {"task": "accounts.tasks.warn_of_expiry", "schedule": 3600, "options": {"expires": 3600}},
}

# --- What is reached from here -----------------------------------------------------------------------------------

# What is watched is mostly in private networks. Metadata of clouds is refused whatever this says: see core/outbound.py.
OUTBOUND_PRIVATE = env.boolean("PHAROS_OUTBOUND_PRIVATE", default=True)

# --- Teams -------------------------------------------------------------------------------------------------------

TEAM_VIEWS = teams.VIEWS

# --- Services ----------------------------------------------------------------------------------------------------

# For how many days single results of checks are kept; 0 is for ever. Hours, and changes of status, stay.
RESULTS_RETENTION_DAYS = env.integer("PHAROS_RESULTS_RETENTION_DAYS", default=30, low=0, high=36_500)

# --- Alerts ------------------------------------------------------------------------------------------------------

# As people and receivers of messages reach Pharos; links in messages begin with it. Empty: messages have no links.
EXTERNAL_URL = env.url("PHAROS_URL", schemes=["https", "http"]).rstrip("/")
# The mail server; EMAIL_HOST is "" without one.
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS, EMAIL_USE_SSL = env.mail("EMAIL_URL")
DEFAULT_FROM_EMAIL = env.text("PHAROS_EMAIL_FROM", default="pharos@localhost")
# For how many days alerts that have ended, and deliveries, are kept; 0 is for ever. Incidents stay.
ALERTS_RETENTION_DAYS = env.integer("PHAROS_ALERTS_RETENTION_DAYS", default=90, low=0, high=36_500)

# --- Who watches Pharos ------------------------------------------------------------------------------------------

PROCESS_REPORTS = True  # to Redis, for /metrics
# Pinged each minute while Pharos works, with /fail behind it while it does not. Empty: nobody outside is told.
HEARTBEAT_URL = env.url("PHAROS_HEARTBEAT_URL", schemes=["https", "http"])
if HEARTBEAT_URL:
    CELERY_BEAT_SCHEDULE["outside-heartbeat"] = {
        "task": "monitor.tasks.outside_heartbeat", "schedule": 60, "options": {"expires": 60},
    }  # fmt: skip

# --- Pages -----------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "monitor.formats"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# An image for containers has them collected already.
STATIC_COLLECTED = env.text("PHAROS_STATIC_DIR")
STATIC_ROOT = Path(STATIC_COLLECTED or DATA_DIR / "static").absolute()
STATICFILES_DIRS = [BASE_DIR / "static"]
# Beside each text file its packed twin, which is what browsers get.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedStaticFilesStorage"},
}
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"

SESSION_COOKIE_AGE = env.integer("PHAROS_SESSION_HOURS", default=336, low=1, high=8_784) * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# People reach it by HTTPS: cookies are for HTTPS alone, and browsers remember that.
HTTPS = EXTERNAL_URL.startswith("https://")
SECURE_COOKIES = env.boolean("PHAROS_SECURE_COOKIES", default=HTTPS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# How many proxies of one's own a request passes: what the last so many have added to X-Forwarded-For is believed.
BEHIND_PROXY = env.integer("PHAROS_BEHIND_PROXY", default=0, low=0, high=9)
SECURE_SSL_REDIRECT = env.boolean("PHAROS_HTTPS_REDIRECT", default=False)
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^ready$", r"^metrics$"]  # asked from beside it, without the proxy
SECURE_HSTS_SECONDS = env.integer(
    "PHAROS_HSTS_SECONDS", default=30 * 24 * 3600 if HTTPS and SECURE_COOKIES else 0, low=0, high=63_072_000
)
SILENCED_SYSTEM_CHECKS = [
    # HSTS for all hosts below this one, and its list in browsers, are not for one program of the domain to decide.
    "security.W005",
    "security.W021",
]

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "accounts.backends.ByCircumstance"]
# Whether people who aren't logged in may read what the role Viewer may.
ANONYMOUS_READ = env.boolean("PHAROS_ANONYMOUS_READ", default=False)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- Sign-in: see docs/sign-in.md --------------------------------------------------------------------------------

REQUIRE_MFA = env.boolean("PHAROS_REQUIRE_MFA", default=False)
if REQUIRE_MFA:
    MIDDLEWARE += ["accounts.sign_in.second_factor.lead_to_setup"]

# One provider: OpenID Connect by its address (issuer), or SAML by its metadata (their address, or the XML itself).
OIDC_URL = env.url("PHAROS_OIDC_URL", schemes=["https", "http"]).rstrip("/")
OIDC_CLIENT_ID = env.text("PHAROS_OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("PHAROS_OIDC_CLIENT_SECRET")
OIDC_SCOPES = env.words("PHAROS_OIDC_SCOPES", default="openid,profile,email")
SAML_METADATA = env.text("PHAROS_SAML_METADATA").lstrip("\ufeff")  # Entra ID's file begins with it
# Which of them it is; empty is no single sign-on.
SSO = "saml" if SAML_METADATA else "oidc" if OIDC_URL else ""
SSO_NAME = env.text("PHAROS_SSO_NAME", "PHAROS_OIDC_NAME", default="single sign-on")
SSO_ROLES_CLAIM = env.text("PHAROS_SSO_ROLES_CLAIM", "PHAROS_OIDC_ROLES_CLAIM", default="groups")
# What the claim says, and which of our roles that is. Empty: roles are given in Pharos.
SSO_ROLES = env.pairs("PHAROS_SSO_ROLES", "PHAROS_OIDC_ROLES")
SSO_DEFAULT_ROLE = env.text("PHAROS_SSO_DEFAULT_ROLE", "PHAROS_OIDC_DEFAULT_ROLE")
SSO_ONLY = env.boolean("PHAROS_SSO_ONLY", "PHAROS_OIDC_ONLY", default=False)
ROLES = ("Viewer", "Responder", "Editor", "Administrator")
for _name, _role in [*(("PHAROS_SSO_ROLES", role) for role in SSO_ROLES.values()),
                     ("PHAROS_SSO_DEFAULT_ROLE", SSO_DEFAULT_ROLE or ROLES[0])]:  # fmt: skip
    if _role not in ROLES:
        raise ImproperlyConfigured(f"{_name} must name roles out of {', '.join(ROLES)}, but it names {_role!r}.")
if OIDC_URL and not OIDC_CLIENT_ID:
    raise ImproperlyConfigured("PHAROS_OIDC_CLIENT_ID must be set when PHAROS_OIDC_URL is: the provider asks for it.")
if OIDC_URL and SAML_METADATA:
    raise ImproperlyConfigured(
        "PHAROS_OIDC_URL and PHAROS_SAML_METADATA are both set: keep one, there is one provider."
    )
if SAML_METADATA and not SAML_METADATA.startswith(("<", "https://", "http://")):
    raise ImproperlyConfigured(
        "PHAROS_SAML_METADATA must be the address of the provider's metadata, or the XML itself."
    )
if SAML_METADATA and not EXTERNAL_URL:
    raise ImproperlyConfigured("PHAROS_URL must be set when PHAROS_SAML_METADATA is: the provider sends people there.")
if SSO_ONLY and not SSO:
    raise ImproperlyConfigured(
        "PHAROS_SSO_ONLY must not be set without PHAROS_OIDC_URL or PHAROS_SAML_METADATA: nobody could sign in."
    )

ACCOUNT_ADAPTER = "accounts.sign_in.adapters.AccountAdapter"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if EXTERNAL_URL.startswith("https:") else "http"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
# Failed attempts that are let through: from one address, and under one name from wherever.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
# People are told apart by the provider's subject. Two of them may have one address, and neither becomes the other.
ACCOUNT_UNIQUE_EMAIL = False
SOCIALACCOUNT_ADAPTER = "accounts.sign_in.single.SingleSignOn"
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True  # before accounts are joined
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
_app = {"provider_id": "sso", "name": SSO_NAME}
SOCIALACCOUNT_PROVIDERS = {
    "saml": {"APPS": [_app] if SSO == "saml" else []},
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": OIDC_SCOPES,
        "APPS": [
            _app | {"client_id": OIDC_CLIENT_ID, "secret": OIDC_CLIENT_SECRET, "settings": {"server_url": OIDC_URL}}
        ]
        if SSO == "oidc"
        else [],
    },
}
MFA_ADAPTER = "accounts.sign_in.adapters.SecondFactor"
USERSESSIONS_ADAPTER = "accounts.sign_in.adapters.Sessions"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nothing hangs on the address here
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Pharos"
MFA_TOTP_TOLERANCE = 1  # phones are a little late

# --- The audit trail ---------------------------------------------------------------------------------------------

# For how many days its entries are kept; 0 is for ever.
AUDIT_RETENTION_DAYS = env.integer("PHAROS_AUDIT_RETENTION_DAYS", default=400, low=0, high=36_500)
AUDITLOG_CID_GETTER = "monitor.followed.request_id"
AUDITLOG_DISABLE_ON_RAW_SAVE = True  # a backup that is read back brings its own entries
AUDITLOG_USE_FK_STRING_REPRESENTATION = True  # as it was called then: what has gone can't be looked up

# --- Our own log lines -------------------------------------------------------------------------------------------

LOG_LEVEL = env.text("PHAROS_LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured(f"PHAROS_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, but it is {LOG_LEVEL!r}.")


def not_about_health(record: logging.LogRecord) -> bool:
    """Not ready is what these addresses are there to say: Django would call it an error each time."""
    return not getattr(getattr(record, "request", None), "path", "").startswith(("/health/", "/ready"))


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"not_about_health": {"()": "django.utils.log.CallbackFilter", "callback": not_about_health}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "stream": {"class": "logs.handler.StreamHandler"},
    },
    "root": {"handlers": ["console", "stream"], "level": LOG_LEVEL},
    "loggers": {
        # One line per request is ours (logs.middleware); the servers' own access lines say it again.
        "django.server": {"handlers": [], "propagate": False},
        "django.request": {"level": "ERROR", "filters": ["not_about_health"]},
        "daphne": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        # What it says of a message that was not taken, with addresses in it; we say so ourselves.
        "apprise": {"level": "CRITICAL"},
        # Prints a traceback for each subscription when Redis goes; it comes back by itself, and we say so once.
        "channels_redis": {"level": "CRITICAL"},
    },
}

UNFOLD = {
    "SITE_TITLE": "Pharos",
    "SITE_HEADER": "Pharos",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/pharos/mark.svg"}],
    "SITE_URL": reverse_lazy("overview"),
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": "core.pages.colours",
    "STYLES": ["core.pages.stylesheet"],
    "SCRIPTS": ["core.pages.script"],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "monitor.navigation.sidebar",
    },
}

CONTENT_SECURITY_POLICY = content_policy(https=HTTPS, posted_to=OIDC_URL)
