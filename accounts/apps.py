from django.apps import AppConfig, apps
from django.contrib.admin.apps import SimpleAdminConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Access"
    default = True

    def ready(self) -> None:
        from accounts import checks, roles, signals, visibility  # noqa: F401 - registered by import

        # After Django's own receiver, which makes the permissions.
        post_migrate.connect(roles.grant, dispatch_uid="accounts.roles.grant")
        visibility.connect()
        # Django's "Authentication and Authorization" leaves no room on a phone for what comes after it.
        apps.get_app_config("auth").verbose_name = "People"


class AdminConfig(SimpleAdminConfig):
    default_site = "accounts.site.Site"
