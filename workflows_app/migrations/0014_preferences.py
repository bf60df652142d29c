"""Preferences of accounts, presets of launches, samples of the cluster, and who manages members."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from workflows_app.migrations._permissions import grant_to_roles, make_permissions

GRANTED = ((("manage_members",), ("admin",)),)


def grant_permissions(apps, schema_editor):
    make_permissions(apps)
    grant(apps)


def grant(apps):
    """Let admins manage members."""
    grant_to_roles(apps, GRANTED)


class Migration(migrations.Migration):
    dependencies = [
        ("workflows_app", "0013_task_order"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ClusterSample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("time", models.DateTimeField(db_index=True)),
                ("resources", models.JSONField(default=dict)),
                ("nodes", models.JSONField(default=list)),
                ("workers", models.JSONField(default=list)),
                ("queued", models.IntegerField(null=True)),
                ("problem", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ["-time"],
                "default_permissions": (),
            },
        ),
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
                    ("bulk_all", "Can act on all workflows at once"),
                    ("bulk_unlimited", "Can act on any number of workflows at once"),
                    ("view_payload", "Can see parameters, values and errors"),
                    ("download_payload", "Can download values"),
                    ("view_logs", "Can see the logs of tasks"),
                    ("view_events", "Can see the event history"),
                    ("view_cluster", "Can see the cluster"),
                    ("view_audit", "Can see the audit log"),
                    ("manage_members", "Can add accounts and give them roles"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Preferences",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("values", models.JSONField(default=dict)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="preferences",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "preferences",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="LaunchPreset",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("definition", models.TextField()),
                ("name", models.CharField(max_length=100)),
                ("params", models.JSONField(default=dict)),
                ("shared", models.BooleanField(default=False)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="launch_presets",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "definition", "name"), name="preset_once_per_owner"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="workflow",
            index=models.Index(
                fields=["pending_command", "created_at", "id"],
                name="wf_pending",
                condition=models.Q(("pending_command__isnull", False)),
            ),
        ),
        migrations.RunPython(grant_permissions, migrations.RunPython.noop),
    ]
