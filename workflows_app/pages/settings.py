"""``/settings/``: how the console looks to an account, its password, its tokens, and the members."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from workflows_app import access, services, tokens
from workflows_app.models import ApiToken
from workflows_app.pages.rendering import number_of, page, show, user_of
from workflows_app.problems import NotFound, Problem
from workflows_app.services import audit, members

DAYS = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}


@require_http_methods(["GET", "HEAD", "POST"])
@page
def settings(request: HttpRequest) -> HttpResponseBase:
    """What the account has chosen, and a new password."""
    user = user_of(request)
    form = PasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.change_password(user, form)
        update_session_auth_hash(request, user)
        messages.success(request, "The password is changed. Other browsers have to sign in again.")
        return HttpResponseRedirect(reverse("settings"))
    context = {"tab": "settings", "form": form, "zones": sorted(available_timezones())}
    return show(request, "pages/settings.html", context, status=400 if form.errors else 200)


class TokenForm(forms.Form):
    """A new token."""

    name = forms.CharField(max_length=100, help_text="What it is for, such as nightly-deploy.")
    scope = forms.ChoiceField(choices=ApiToken.Scope.choices, label="May")
    days = forms.ChoiceField(choices=list(DAYS.items()), initial="90", label="Works for")
    networks = forms.CharField(
        required=False,
        max_length=500,
        label="Only from",
        help_text="Networks such as 10.0.0.0/8, with commas. Empty: from anywhere.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def token_list(request: HttpRequest) -> HttpResponseBase:
    """The account's tokens; a new one is shown once."""
    user = user_of(request)
    if "revoke" in request.POST:
        return _revoke(request)
    form = TokenForm(request.POST or None)
    made = None
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        try:
            made = tokens.create(
                user,
                chosen["name"],
                scope=chosen["scope"],
                expires_at=timezone.now() + timedelta(days=int(chosen["days"])),
                networks=chosen["networks"].replace(",", " ").split(),
            )
        except Problem as problem:
            form.add_error("networks" if chosen["networks"] else "name", problem.detail)
        else:
            audit.record(user, "create token", target=made[0].name, scope=made[0].scope)
            form = TokenForm()
    status = 400 if form.is_bound and form.errors else 201 if made else 200
    context = {"tab": "settings-tokens", "form": form, "made": made, "now": timezone.now()}
    context["tokens"] = ApiToken.objects.filter(user=user)[:200]
    return show(request, "pages/settings_tokens.html", context, status=status)


def _revoke(request: HttpRequest) -> HttpResponseBase:
    key = number_of(request.POST["revoke"]) or 0
    found = ApiToken.objects.filter(user=user_of(request), pk=key)
    token = found.first()
    if token is None:
        raise NotFound("There is no such token among yours.")
    tokens.revoke(token)
    audit.record(user_of(request), "revoke token", target=token.name)
    messages.success(request, f"The token “{token.name}” opens nothing any more.")
    return HttpResponseRedirect(reverse("settings-tokens"))


class MemberForm(forms.Form):
    """A new account."""

    username = forms.CharField(max_length=150)
    password = forms.CharField(max_length=200, help_text="To be changed after the first sign-in.")
    role = forms.ChoiceField(choices=[(role, role) for role in members.ROLES])


@require_http_methods(["GET", "HEAD", "POST"])
@page
def member_list(request: HttpRequest) -> HttpResponseBase:
    """Who has an account and which role; those who manage members change both."""
    user = user_of(request)
    access.require(user, "manage_members")
    form = MemberForm(request.POST if "username" in request.POST else None)
    if "member" in request.POST:
        _change(request)
        return HttpResponseRedirect(reverse("settings-members"))
    if form.is_bound and form.is_valid():
        try:
            made = members.add_member(user, **form.cleaned_data)
        except Problem as problem:
            form.add_error("username" if problem.status == 409 else "password", problem.detail)
        else:
            messages.success(request, f"{made.username} can sign in now.")
            return HttpResponseRedirect(reverse("settings-members"))
    rows = [(member, members.role_of(member)) for member in members.members()[:500]]
    context = {"tab": "settings-members", "form": form, "members": rows, "roles": members.ROLES}
    status = 400 if form.is_bound else 200
    return show(request, "pages/settings_members.html", context, status=status)


def _change(request: HttpRequest) -> None:
    user, member_id = user_of(request), number_of(request.POST["member"]) or 0
    if "active" in request.POST:
        active = request.POST["active"] == "on"
        member = members.set_active(user, member_id, active)
        words = "can sign in again" if active else "cannot sign in any more"
        messages.success(request, f"{member.username} {words}.")
    else:
        member = members.change_role(user, member_id, request.POST.get("role", ""))
        messages.success(request, f"{member.username} is now {request.POST['role']}.")
