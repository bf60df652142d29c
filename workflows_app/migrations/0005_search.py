"""Indexes for the query language that only PostgreSQL has: tags, and any part of an id."""

from django.db import migrations

TAGS = "CREATE INDEX wf_tags ON workflows_app_workflow USING gin (tags)"
TRIGRAMS = """
CREATE INDEX wf_id_trigrams ON workflows_app_workflow USING gin (UPPER(workflow_id::text) gin_trgm_ops)
"""


def forwards(apps, editor):
    if editor.connection.vendor != "postgresql":
        return
    editor.execute(TAGS)
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
            " AND (installed_version IS NOT NULL OR has_database_privilege(current_database(), 'CREATE'))"
        )
        if cursor.fetchone() is None:
            return
    editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    editor.execute(TRIGRAMS)


def backwards(apps, editor):
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP INDEX IF EXISTS wf_tags, wf_id_trigrams")


class Migration(migrations.Migration):
    dependencies = [("workflows_app", "0004_actors")]
    operations = [migrations.RunPython(forwards, backwards)]
