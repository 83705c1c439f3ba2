"""`manage.py demo`: Pharos, and beside it the fleet of examples/demo to look at."""

from __future__ import annotations

from django.conf import settings

from examples.demo import fleet, registration
from monitor.management.commands import up


class Command(up.Command):
    help = "Starts Pharos together with five small services that it watches, until Ctrl-C."

    def prepare(self) -> None:
        super().prepare()
        registration.register()

    def processes(self, redis_port: int | None) -> up.Plan:
        env = {
            **up.environment(redis_port),
            "PHAROS_REDIS_URL": settings.REDIS_URL,
            "PHAROS_LOG_STREAM": settings.LOG_STREAMS[0],
            "PHAROS_ENV": "production",  # lines are sent, not printed
            "PHAROS_STDERR": "0",  # the terminal is for what is typed there
        }
        run = ("-m", "examples.demo", "run")
        services = [{**up.process(f"demo-{name}", *run, name), "env": env} for name in fleet.NAMES]
        return [*super().processes(redis_port), *services]
