from django.apps import AppConfig


class MonitorConfig(AppConfig):
    name = "monitor"
    verbose_name = "Pharos"

    def ready(self) -> None:
        from monitor import followed  # it needs the models

        followed.follow()
