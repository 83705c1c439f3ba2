from django.apps import AppConfig
from django.conf import settings


class LogsConfig(AppConfig):
    name = "logs"
    verbose_name = "Logs"

    def ready(self) -> None:
        from logs import checks  # noqa: F401 - registered by import
        from logs.records import use_aliases

        use_aliases(settings.LOG_FIELD_ALIASES)
