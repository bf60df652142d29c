"""What the project's settings take over for Django REST framework and the OpenAPI schema."""

from __future__ import annotations

from typing import Any

# A launch carries parameters, not data; data belongs into the storage.
MAX_BODY_BYTES = 1_048_576
# Long-polls that may wait in one web process; each holds a thread. Others are answered at once.
MAX_WAITERS = 32

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "workflows_app.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["workflows_app.api.permissions.MayCall"],
    "DEFAULT_THROTTLE_CLASSES": [
        "workflows_app.api.throttling.AnonymousRate",
        "workflows_app.api.throttling.SessionRate",
        "workflows_app.api.throttling.TokenRate",
    ],
    "DEFAULT_THROTTLE_RATES": {"anon": "60/min", "user": "1200/min", "token": "3000/min"},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["workflows_app.api.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "workflows_app.api.schema.ProblemAwareSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "workflows_app.api.problems.handle",
    # `?format=` would be one more way to ask for what the Accept header says.
    "URL_FORMAT_OVERRIDE": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "UNICODE_JSON": True,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "RayFlow",
    "VERSION": "1",
    "DESCRIPTION": "Launch, watch and repair durable workflows on Ray.",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": True,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "WorkflowStatus": "workflows_app.api.shapes.STATUSES",
        "TaskStatus": "workflows_app.api.shapes.TASK_STATUSES",
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "workflows_app.api.schema.add_problems",
    ],
}
