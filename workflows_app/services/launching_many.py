"""Starting many workflows at once: all of them, or none if one cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from workflows_app import access, after_commit
from workflows_app.models import Command, CommandKind, Definition
from workflows_app.problems import Conflict, Invalid, Mismatch
from workflows_app.projection import IN_LIMIT, in_chunks
from workflows_app.services import audit
from workflows_app.services.commands import fingerprint
from workflows_app.services.launching import check_id, check_params, new_id, payload_of, taken

MOST = 1_000
# The number of an item is put behind the key of the whole request.
LONGEST_KEY = 120
MOST_ERRORS = 50


def launch_many(
    user: User, items: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
) -> list[Command]:
    """Ask for many workflows; returns their commands in the order of ``items``.

    Args:
        items: each with ``definition``, and perhaps ``params``, ``workflow_id``, ``metadata``, ``tags``.

    Raises:
        Forbidden: the account may not start workflows.
        Invalid: none, too many, an unknown definition, or an id or parameters that break a rule; `errors`
            points to each mistake. Nothing is launched then.
        Conflict: an id is taken, or given twice.
        Mismatch: the idempotency key belongs to a different request.
    """
    access.require(user, "start_workflow")
    if not 1 <= len(items) <= MOST:
        raise Invalid(f"A batch has 1 to {MOST:,} workflows; this one has {len(items):,}.")
    if idempotency_key is not None and len(idempotency_key) > LONGEST_KEY:
        raise Invalid(f"The idempotency key of a batch has at most {LONGEST_KEY} characters.")
    wanted = [_command(user, item, at, idempotency_key) for at, item in enumerate(items)]
    earlier = _replayed(user, wanted, idempotency_key)
    if earlier is not None:
        return earlier
    _check(items)
    for command, item in zip(wanted, items, strict=True):
        command.workflow_id = item.get("workflow_id") or new_id(item["definition"])
    try:
        with transaction.atomic():
            _refuse_taken([command.workflow_id for command in wanted])
            Command.objects.bulk_create(wanted)
            audit.record_many(
                user,
                str(CommandKind.LAUNCH),
                [(c.workflow_id, {"definition": c.payload["definition"], "operation": str(c.id)}) for c in wanted],
            )  # fmt: skip
            after_commit.enqueue(after_commit.RUN_COMMAND, *(str(c.id) for c in wanted))
            after_commit.ring({"list": 0})
    except IntegrityError:
        again = _replayed(user, wanted, idempotency_key)
        if again is None:
            raise
        return again
    return wanted


def _command(user: User, item: Mapping[str, Any], at: int, key: str | None) -> Command:
    payload = payload_of(
        item["definition"], item.get("params"), item.get("metadata"), item.get("tags")
    )
    return Command(
        kind=CommandKind.LAUNCH,
        payload=payload,
        created_by=user,
        idempotency_key=None if key is None else f"{key}/{at}",
        request_fingerprint=fingerprint(
            CommandKind.LAUNCH, str(item.get("workflow_id") or ""), payload
        ),
    )


def _replayed(user: User, wanted: Sequence[Command], key: str | None) -> list[Command] | None:
    """The commands that an earlier request with this key made, in the order of this one."""
    if key is None:
        return None
    made: dict[str | None, Command] = {}
    keys = [command.idempotency_key for command in wanted]
    # One more than there are now: a longer batch with this key is another request.
    for chunk in in_chunks([*keys, f"{key}/{len(keys)}"], IN_LIMIT):
        rows = Command.objects.filter(created_by=user, idempotency_key__in=chunk)
        made |= {row.idempotency_key: row for row in rows}
    if not made:
        return None
    found = [made.get(command.idempotency_key) for command in wanted]
    same = [
        row
        for row, command in zip(found, wanted, strict=True)
        if row is not None and row.request_fingerprint == command.request_fingerprint
    ]
    if len(same) != len(wanted) or len(made) != len(wanted):
        raise Mismatch(
            f"The idempotency key {key!r} was used before for a batch with other contents; use a new key"
            " for a new request."
        )
    for row in same:
        row.replayed = True
    return same


def _check(items: Sequence[Mapping[str, Any]]) -> None:
    """Raises `Invalid` with every mistake of every item, as far as there is room."""
    names = {str(item["definition"]) for item in items}
    known = {each.name: each for each in Definition.objects.filter(name__in=names, available=True)}
    errors: list[dict[str, Any]] = []
    for at, item in enumerate(items):
        try:
            definition = known.get(str(item["definition"]))
            if definition is None:
                errors.append(
                    {"pointer": f"/items/{at}/definition", "detail": "There is no such definition."}
                )
                continue
            if item.get("workflow_id"):
                check_id(str(item["workflow_id"]))
            check_params(definition, item.get("params") or {})
        except Invalid as problem:
            inner = "/params" if problem.code == "invalid_parameters" else ""
            errors += [
                {**error, "pointer": f"/items/{at}{inner}{error['pointer']}"}
                for error in problem.errors
            ]
        if len(errors) >= MOST_ERRORS:
            break
    if errors:
        raise Invalid(
            f"Nothing was launched: {len(errors)} mistakes were found, the first at"
            f" {errors[0]['pointer']}: {errors[0]['detail']}",
            errors=errors[:MOST_ERRORS],
        )


def _refuse_taken(workflow_ids: Sequence[str]) -> None:
    """Raises `Conflict` for the first id that is taken, or given twice."""
    refused = [each for each, n in Counter(workflow_ids).items() if n > 1]
    for chunk in in_chunks(workflow_ids, IN_LIMIT):
        refused += taken(chunk)
    if refused:
        raise Conflict(
            f"Nothing was launched: the id {refused[0]!r} is taken or given twice; choose another one.",
            code="workflow_exists",
            extra={"workflow": refused[0]},
        )
