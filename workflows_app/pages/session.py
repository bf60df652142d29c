"""``/login/``, ``/logout/`` and what changes a preference."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from workflows_app import preferences, services
from workflows_app.pages.rendering import user_of


class LoginForm(AuthenticationForm):
    """Username and password, with the attributes that let browsers fill them in."""

    error_messages = {
        "invalid_login": "The username or the password is wrong. Both are case-sensitive.",
        "inactive": "This account has been switched off; ask an administrator.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Username"
        self.fields["password"].label = "Password"
        for field in self.fields.values():
            widget: forms.Widget = field.widget
            widget.attrs["class"] = "input"
        if self.errors:
            self.fields["password"].widget.attrs["aria-invalid"] = "true"


@method_decorator(never_cache, name="dispatch")
class Login(LoginView):
    """The sign-in page. Someone who is signed in already goes straight on."""

    template_name = "pages/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        preferences.into_cookies(self.request, response, preferences.of_account(form.get_user()))
        return response


def locked_out(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """Answer somebody who has given too many wrong passwords."""
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    context = {"form": LoginForm(request), "next": "", "locked_minutes": minutes}
    response = render(request, "pages/login.html", context, status=429)
    response["Retry-After"] = str(minutes * 60)
    return response


class Logout(LogoutView):
    """Ends the session; only by POST, so that no link can sign anybody out."""

    http_method_names = ["post", "options"]


@require_POST
def change_preferences(request: HttpRequest) -> HttpResponse:
    """Keep what was chosen, with the account and in this browser, and go back to where it was chosen."""
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = reverse("overview")
    given = {name: ".".join(values) for name, values in request.POST.lists()}
    values = preferences.accepted(given)
    services.keep_preferences(user_of(request), values)
    response = HttpResponseRedirect(target)
    preferences.into_cookies(request, response, values)
    return response
