"""The groups viewer, operator and admin with their permissions."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from workflows_app.migrations._permissions import make_permissions

LOOK = [
    "view_workflow",
    "view_task",
    "view_taskattempt",
    "view_workflowevent",
    "view_definition",
    "view_followerstate",
    "view_command",
    "view_bulkoperation",
    "view_bulkitem",
    "view_events",
    "view_cluster",
]
ACT = ["view_payload", "view_logs", "start_workflow", "cancel_workflow", "resume_workflow", "bulk"]
MANAGE = [
    "delete_workflow",
    "view_audit",
    "view_auditentry",
    "view_apitoken",
    "add_apitoken",
    "change_apitoken",
    "delete_apitoken",
]
ROLES = {"viewer": LOOK, "operator": LOOK + ACT, "admin": LOOK + ACT + MANAGE}


def create_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    make_permissions(apps)
    grant(apps)


def grant(apps: Apps) -> None:
    """Create the groups and give them their permissions."""
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    for role, codenames in ROLES.items():
        group, _ = group_model.objects.get_or_create(name=role)
        group.permissions.set(
            permission_model.objects.filter(
                content_type__app_label="workflows_app", codename__in=codenames
            )
        )


def forget_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("workflows_app", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_roles, forget_roles)]
