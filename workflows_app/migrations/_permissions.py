"""For migrations that grant permissions."""

from django.contrib.auth.management import create_permissions


def make_permissions(apps):
    """Make the permissions that the models have by now; Django does it after all migrations."""
    config = apps.get_app_config("workflows_app")
    config.models_module = True
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
