"""Bulk operations: previewed, confirmed, watched, paused, aborted and repeated."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.keyset import Sort
from workflows_app.models import BulkItem, BulkItemState, BulkOperation, BulkState
from workflows_app.problems import Invalid, NotFound
from workflows_app.services import bulk_preview
from workflows_app.services.bulk import Pace
from workflows_app.services.bulk_control import VERBS, find_bulk

ACTIONS = ("resume", "cancel", "suspend", "delete")
PACE = ("rate", "concurrency", "stop_after_failures")


class SelectionSerializer(serializers.Serializer[Any]):
    """Which workflows are meant: exactly one of the three."""

    ids = serializers.ListField(
        child=serializers.CharField(max_length=1024), required=False, max_length=10_000
    )
    q = serializers.CharField(required=False, max_length=1000, help_text="A query, as of the list.")
    all = serializers.BooleanField(default=False, help_text="Needs the permission 'bulk_all'.")


class BulkRequestSerializer(serializers.Serializer[Any]):
    """First `action` and `selection` for a preview, then its `confirm_token`."""

    action = serializers.ChoiceField(choices=ACTIONS, required=False)
    selection = SelectionSerializer(required=False)
    include_failed = serializers.BooleanField(
        default=True, help_text="For resume: FAILED workflows too, not only RESUMABLE ones."
    )
    dry_run = serializers.BooleanField(
        required=False,
        help_text="True with `action` and `selection`: nothing is done before the confirmation.",
    )
    confirm_token = serializers.CharField(required=False, max_length=1_000_000)
    reason = serializers.CharField(
        default="", allow_blank=True, max_length=1_000,
        help_text="Needed for delete, and for more than 100 workflows.",
    )  # fmt: skip
    stop_after_failures = serializers.IntegerField(
        required=False, min_value=1, help_text="Skip what waits once so many have failed."
    )
    rate = serializers.FloatField(
        required=False, min_value=0.1, max_value=1000, help_text="Workflows a second, at most."
    )
    concurrency = serializers.IntegerField(
        required=False, min_value=1, max_value=100, help_text="How many at a time, at most."
    )


class BulkPreviewSerializer(serializers.Serializer[Any]):
    """What a bulk operation would do."""

    action = serializers.ChoiceField(choices=ACTIONS)
    matched = serializers.IntegerField()
    eligible = serializers.IntegerField()
    ineligible = serializers.DictField(child=serializers.IntegerField(), help_text="By reason.")
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_definition = serializers.DictField(child=serializers.IntegerField())
    sample = serializers.ListField(child=serializers.CharField())
    needs_reason = serializers.BooleanField()
    expires_at = serializers.DateTimeField()
    confirm_token = serializers.CharField()


class BulkSerializer(serializers.ModelSerializer[BulkOperation]):
    """A bulk operation and how far it is."""

    action = serializers.ChoiceField(choices=ACTIONS, source="kind")
    state = serializers.ChoiceField(choices=BulkState.values)
    selection = serializers.DictField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)

    class Meta:
        model = BulkOperation
        fields = (
            "id", "action", "state", "selection", "reason", "total", "done", "skipped", "failed",
            "stop_after_failures", "rate", "concurrency", "created_by", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class BulkPage(serializers.Serializer[Any]):
    """A page of bulk operations."""

    items = BulkSerializer(many=True)
    page = PageSerializer()


class BulkItemQuery(PageQuery):
    """Filters of the items."""

    state = serializers.ChoiceField(choices=BulkItemState.values, required=False)


class BulkItemSerializer(serializers.ModelSerializer[BulkItem]):
    """What became of one workflow."""

    state = serializers.ChoiceField(choices=BulkItemState.values)
    detail = serializers.CharField(help_text="Why it was skipped or failed.")

    class Meta:
        model = BulkItem
        fields = ("workflow_id", "state", "detail")
        read_only_fields = fields


class BulkItemPage(serializers.Serializer[Any]):
    """A page of the workflows of an operation."""

    items = BulkItemSerializer(many=True)
    page = PageSerializer()


class BulkList(ApiView):
    """The bulk operations, and how to ask for one."""

    permissions_by_method: ClassVar[dict[str, str]] = {"POST": "bulk"}

    @extend_schema(tags=["bulk"], parameters=[PageQuery], responses=BulkPage)
    def get(self, request: Request) -> Response:
        """List bulk operations, newest first."""
        query = read_query(request, PageQuery)
        rows = BulkOperation.objects.select_related("created_by")
        page = paginate(rows, Sort("created_at", True), scope="bulk", query=query)
        return Response(page.envelope(BulkSerializer(page.rows, many=True).data))

    @extend_schema(
        tags=["bulk"],
        request=BulkRequestSerializer,
        responses={200: BulkPreviewSerializer, 202: BulkSerializer},
    )
    def post(self, request: Request) -> Response:
        """Preview with `dry_run`, then send the preview's `confirm_token` to start it, once."""
        form = BulkRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        if "confirm_token" in asked:
            return self._confirm(asked)
        if not asked.get("dry_run") or "action" not in asked or "selection" not in asked:
            raise Invalid(
                "Ask for a preview first: action, selection and dry_run=true; then confirm it with its"
                " confirm_token.",
                errors=[{"pointer": "/dry_run", "detail": "true, or a confirm_token"}],
            )
        chosen = asked["selection"]
        selection = bulk_preview.Selection(
            asked["action"],
            ids=tuple(dict.fromkeys(chosen.get("ids") or ())),
            q=chosen.get("q", ""),
            everything=chosen["all"],
            include_failed=asked["include_failed"],
        )
        shown = bulk_preview.preview(self.caller, selection)
        return Response(BulkPreviewSerializer(shown).data)

    def _confirm(self, asked: dict[str, Any]) -> Response:
        bulk = bulk_preview.confirm(
            self.caller,
            asked["confirm_token"],
            reason=asked["reason"].strip(),
            pace=Pace(**{name: asked.get(name) for name in PACE}),
        )
        headers = {"Location": reverse("api:bulk-operation", args=[bulk.pk])}
        if bulk.replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(BulkSerializer(bulk).data, status=202, headers=headers)


class BulkDetail(ApiView):
    """One bulk operation."""

    @extend_schema(tags=["bulk"], responses=BulkSerializer)
    def get(self, request: Request, bulk_id: UUID) -> Response:
        """How far it is."""
        read_query(request, serializers.Serializer)
        return Response(BulkSerializer(find_bulk(bulk_id)).data)


class BulkItems(ApiView):
    """The workflows of a bulk operation."""

    @extend_schema(tags=["bulk"], parameters=[BulkItemQuery], responses=BulkItemPage)
    def get(self, request: Request, bulk_id: UUID) -> Response:
        """What became of each workflow."""
        query = read_query(request, BulkItemQuery)
        items = find_bulk(bulk_id).items.all()
        if state := query.get("state"):
            items = items.filter(state=state)
        page = paginate(items, Sort("id"), scope=f"bulk {bulk_id}", query=query)
        return Response(page.envelope(BulkItemSerializer(page.rows, many=True).data))


class BulkAction(ApiView):
    """Pause, continue, abort or repeat a bulk operation."""

    permission: ClassVar[str | None] = "bulk"

    @extend_schema(tags=["bulk"], request=None, responses=BulkSerializer)
    def post(self, request: Request, bulk_id: UUID, verb: str) -> Response:
        """`pause`, `unpause`, `abort` or `retry-failed`; 409 when its state does not allow it."""
        if verb not in VERBS:
            raise NotFound(f"There is no action {verb!r}; use: {', '.join(VERBS)}.")
        VERBS[verb](self.caller, find_bulk(bulk_id))
        return Response(BulkSerializer(find_bulk(bulk_id)).data)
