from django.apps import AppConfig


class MonitorConfig(AppConfig):
    name = "monitor"
    verbose_name = "Pharos"

    def ready(self) -> None:
        from logs.sources import docker_tls  # they need the models
        from monitor import followed
        from services import docker_client

        followed.follow()
        docker_tls.of_address = docker_client.certificates
