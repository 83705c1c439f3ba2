from django.apps import AppConfig


class ServicesConfig(AppConfig):
    name = "services"
    verbose_name = "Services"

    def ready(self) -> None:
        from services import edits, heartbeats  # they need the models

        edits.connect()
        heartbeats.connect()
