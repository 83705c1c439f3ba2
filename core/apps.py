from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from core import queries, sqlite  # noqa: F401 - registered by import
