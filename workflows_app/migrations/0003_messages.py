"""Messages to workflows: a kind of command, and a permission for operators and admins."""

from __future__ import annotations

from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from workflows_app.migrations._permissions import make_permissions


def create_permission(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    make_permissions(apps)
    grant(apps)


def grant(apps: Apps) -> None:
    """Let operators and admins send messages."""
    permission = apps.get_model("auth", "Permission").objects.get(
        content_type__app_label="workflows_app", codename="signal_workflow"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=["operator", "admin"]):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("workflows_app", "0002_roles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="workflow",
            options={
                "default_permissions": ("view", "delete"),
                "ordering": ["-created_at", "-id"],
                "permissions": [
                    ("start_workflow", "Can start workflows"),
                    ("cancel_workflow", "Can cancel workflows"),
                    ("resume_workflow", "Can resume workflows"),
                    ("signal_workflow", "Can send messages to workflows"),
                    ("bulk", "Can act on many workflows at once"),
                    ("view_payload", "Can see parameters, values and errors"),
                    ("view_logs", "Can see the logs of tasks"),
                    ("view_events", "Can see the event history"),
                    ("view_cluster", "Can see the cluster"),
                    ("view_audit", "Can see the audit log"),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="command",
            name="one_open_command_per_workflow",
        ),
        migrations.AlterField(
            model_name="bulkoperation",
            name="kind",
            field=models.CharField(
                choices=[
                    ("launch", "Launch"),
                    ("cancel", "Cancel"),
                    ("resume", "Resume"),
                    ("delete", "Delete"),
                    ("tell", "Message"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="command",
            name="kind",
            field=models.CharField(
                choices=[
                    ("launch", "Launch"),
                    ("cancel", "Cancel"),
                    ("resume", "Resume"),
                    ("delete", "Delete"),
                    ("tell", "Message"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="command",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("state__in", ["QUEUED", "RUNNING"]),
                    models.Q(("kind__in", ["launch", "tell"]), _negated=True),
                ),
                fields=("workflow_id",),
                name="one_open_command_per_workflow",
            ),
        ),
        migrations.RunPython(create_permission, migrations.RunPython.noop),
    ]
