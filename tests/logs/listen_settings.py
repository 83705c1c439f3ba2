"""The settings of a real `manage.py listen` that a test starts: on the databases and the Redis of the test."""

import os

REDIS = os.environ["REDIS_URL"]  # tests.settings finds its own

from tests.settings import *  # noqa: E402, F403
from tests.settings import DATABASES  # noqa: E402

REDIS_URL = REDIS
DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE"]
DATABASES["logs"]["NAME"] = os.environ["TEST_LOG_DATABASE"]
