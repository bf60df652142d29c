"""For migrations that grant permissions."""

from django.contrib.auth.management import create_permissions


def make_permissions(apps):
    """Make the permissions that the models have by now; Django does it after all migrations."""
    config = apps.get_app_config("workflows_app")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None


def grant_to_roles(apps, granted):
    """Give permissions to roles: pairs of the permissions' codenames and the roles' names."""
    for codenames, roles in granted:
        permissions = apps.get_model("auth", "Permission").objects.filter(
            content_type__app_label="workflows_app", codename__in=codenames
        )
        for group in apps.get_model("auth", "Group").objects.filter(name__in=roles):
            group.permissions.add(*permissions)
