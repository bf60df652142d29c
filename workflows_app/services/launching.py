"""Starting a workflow from a definition."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any

import jsonschema
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from workflows_app import access
from workflows_app.models import STARTS, Command, CommandKind, CommandState, Definition, Workflow
from workflows_app.problems import Conflict, Invalid, NotFound
from workflows_app.services import audit
from workflows_app.services.commands import after_collision, announce, fingerprint, replayed

# Ids from the API and the console; the library itself takes any string of 1,024 bytes.
ID_PATTERN = re.compile(r"[A-Za-z0-9._~-]{1,200}")
MAX_ERRORS = 50


def launch(
    user: User,
    *,
    definition: str,
    params: Mapping[str, Any],
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Command:
    """Ask for a new workflow; the returned command names its id.

    Raises:
        Forbidden: the account may not start workflows.
        NotFound: no such definition is available.
        Invalid: the id or the parameters break a rule; `errors` points to each mistake.
        Conflict: the id is taken.
        Mismatch: the idempotency key belongs to a different request.
    """
    access.require(user, "start_workflow")
    payload = payload_of(definition, params, metadata, tags)
    mark = fingerprint(CommandKind.LAUNCH, workflow_id or "", payload)
    earlier = replayed(user, idempotency_key, mark)
    if earlier is not None:
        return earlier
    check_params(_available(definition), payload["params"])
    chosen = check_id(workflow_id) if workflow_id is not None else new_id(definition)
    try:
        with transaction.atomic():
            return create_start(
                user, CommandKind.LAUNCH, chosen, payload, key=idempotency_key, mark=mark
            )
    except IntegrityError:
        return after_collision(user, idempotency_key, mark, chosen)


def rerun(
    user: User,
    original: Workflow,
    *,
    params: Mapping[str, Any] | None = None,
    workflow_id: str | None = None,
    idempotency_key: str | None = None,
) -> Command:
    """Ask for another workflow like ``original``, with ``params`` in place of those of the same name.

    Raises:
        Conflict: a program started it, so there is no definition to launch again.
        Forbidden, NotFound, Invalid, Conflict, Mismatch: as :func:`launch`.
    """
    access.require(user, "start_workflow")
    if not original.definition or original.params is None:
        raise Conflict(
            f"Workflow {original.workflow_id!r} was not launched from a definition; the program that ran"
            " it can run it again."
        )
    return launch(
        user,
        definition=original.definition,
        params={**original.params, **(params or {})},
        workflow_id=workflow_id,
        metadata={**original.user_metadata, "rerun_of": original.workflow_id},
        tags=original.tags,
        idempotency_key=idempotency_key,
    )


def check_id(workflow_id: str) -> str:
    """Return the id unchanged.

    Raises:
        Invalid: it is empty, too long, a path of dots, or has characters outside the set.
    """
    if ID_PATTERN.fullmatch(workflow_id) and set(workflow_id) != {"."}:
        return workflow_id
    raise Invalid(
        f"{workflow_id!r:.220} cannot be a workflow id here; use 1 to 200 letters, digits and"
        " the characters . _ ~ - (not dots alone), or leave it out and one is made.",
        code="invalid_workflow_id",
        errors=[{"pointer": "/workflow_id", "detail": "1 to 200 of A-Z a-z 0-9 . _ ~ -"}],
    )


def check_params(definition: Definition, params: Mapping[str, Any]) -> None:
    """Check parameters against the definition's JSON Schema.

    Raises:
        Invalid: `errors` holds a JSON pointer and a sentence for each mistake.
    """
    errors = mistakes_in(definition.params_schema, params)
    if not errors:
        return
    first = errors[0]
    raise Invalid(
        f"The parameters do not fit the definition {definition.name!r}:"
        f" {first['pointer'] or 'the whole'}: {first['detail']}.",
        code="invalid_parameters",
        errors=errors,
    )


def mistakes_in(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[dict[str, str]]:
    """What does not fit a JSON Schema, each with a JSON pointer and a sentence; the first few."""
    validator = jsonschema.Draft202012Validator(schema)
    found = sorted(validator.iter_errors(dict(values)), key=lambda each: list(map(str, each.path)))
    return [
        {"pointer": pointer_of(each), "detail": each.message[:500]} for each in found[:MAX_ERRORS]
    ]


def pointer_of(mistake: jsonschema.ValidationError) -> str:
    """The JSON pointer of the value a schema mistake is about, or of the missing one."""
    parts = [str(part) for part in mistake.absolute_path]
    if mistake.validator == "required":
        missing = re.match(r"'(.*)' is a required property", mistake.message)
        parts += [missing.group(1)] if missing else []
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _available(name: str) -> Definition:
    found = Definition.objects.filter(name=name, available=True).first()
    if found is not None:
        return found
    known = list(Definition.objects.filter(available=True).values_list("name", flat=True)[:20])
    raise NotFound(
        f"There is no definition {name!r}; available are: {', '.join(known) or 'none'}."
        " Definitions come from the modules and files named by RAYFLOW_FLOWS.",
        code="unknown_definition",
    )


def payload_of(
    definition: str,
    params: Mapping[str, Any] | None,
    metadata: Mapping[str, Any] | None,
    tags: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the command of a launch carries."""
    return {
        "definition": definition,
        "params": dict(params or {}),
        "metadata": dict(metadata or {}),
        "tags": dict(tags or {}),
    }


def taken(workflow_ids: Collection[str]) -> list[str]:
    """Those of the ids that a workflow has, or one that is about to start."""
    starting = Command.objects.filter(
        workflow_id__in=workflow_ids,
        kind__in=STARTS,
        state__in=[CommandState.QUEUED, CommandState.RUNNING],
    )
    there = Workflow.objects.filter(workflow_id__in=workflow_ids)
    return [
        *there.values_list("workflow_id", flat=True),
        *starting.values_list("workflow_id", flat=True),
    ]


def new_id(definition: str) -> str:
    """An id that tells the definition and the time, and that nobody else has."""
    stem = re.sub(r"[^A-Za-z0-9._~-]+", "-", definition).strip("-.") or "workflow"
    return f"{stem[:150]}-{timezone.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def create_start(
    user: User,
    kind: CommandKind,
    workflow_id: str,
    payload: dict[str, Any],
    *,
    key: str | None,
    mark: str,
) -> Command:
    """The command that makes a workflow, by a launch or a fork; inside a transaction.

    Raises:
        Conflict: the id is taken.
    """
    if taken([workflow_id]):
        raise Conflict(
            f"There is already a workflow {workflow_id!r}; choose another id, or leave it out and"
            " one is made.",
            code="workflow_exists",
            extra={"workflow": workflow_id},
        )
    command = Command.objects.create(
        kind=kind,
        workflow_id=workflow_id,
        payload=payload,
        created_by=user,
        idempotency_key=key,
        request_fingerprint=mark,
    )
    told = {name: payload.get(name) for name in ("definition", "origin", "from_tasks", "reason")}
    audit.record(user, str(kind), target=workflow_id, **told, operation=str(command.id))
    announce(command)
    return command
