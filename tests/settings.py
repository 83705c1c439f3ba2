"""The settings of the tests: the real ones, on servers and directories of the run's own."""

import os
from typing import Any

from tests import servers

places = servers.reserve()
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
# gw0 has database 1, …; a test without xdist has 0.
NUMBER = int(WORKER.removeprefix("gw")) + 1 if WORKER != "main" else 0
if servers.VALKEY_DATABASES <= NUMBER:
    raise SystemExit(f"At most {servers.VALKEY_DATABASES - 1} test processes have a Valkey database each.")

# What a developer has set for a Pharos that runs on this machine must not reach the tests, nor they that Pharos.
for name in list(os.environ):
    if name.startswith(("PHAROS_", "Logging__")) and not name.startswith("PHAROS_TEST_"):
        del os.environ[name]
os.environ.pop("DATABASE_URL", None)
os.environ.pop("EMAIL_URL", None)
os.environ["PHAROS_DATA_DIR"] = str(places.directory / WORKER)
os.environ["PHAROS_SECRET_KEY"] = "only-for-the-tests"
os.environ["REDIS_URL"] = f"unix://{places.valkey_socket}?db={NUMBER}"

from monitor import settings as real  # noqa: E402
from monitor.settings import *  # noqa: E402, F403

DATABASES: dict[str, dict[str, Any]] = {  # type: ignore[no-redef]
    # Files, not memory: as in production there are several connections and threads, and one writes while others read.
    alias: {**database, "TEST": {"NAME": str(real.DATA_DIR / f"test_{alias}.sqlite3")}}
    for alias, database in real.DATABASES.items()
}

# Tests sign in as often as they like. Those of the limits have the real ones.
ACCOUNT_RATE_LIMITS = False  # type: ignore[assignment]

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if servers.wanted("postgres") and servers.postgres_bin():
    DATABASES["postgres"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "pharos",
        "USER": "postgres",
        "HOST": str(places.postgres_directory),
        "PORT": places.postgres_port,
        "TEST": {"NAME": "test_pharos"},
    }

# Publish and subscribe know no database numbers.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": real.CHANNEL_LAYERS["default"]["BACKEND"],
        "CONFIG": {"hosts": [real.REDIS_URL], "prefix": f"pharos-{WORKER}"},
    }
}

# Those that want a process to report have it do so.
PROCESS_REPORTS = False

# Tests that want the log handler attach it themselves.
LOGGING = {
    **real.LOGGING,
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": real.LOG_LEVEL},
}
