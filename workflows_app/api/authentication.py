"""Who is calling: a bearer token, or the browser's session with its CSRF token."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from workflows_app import tokens
from workflows_app.models import ApiToken

REALM = 'Bearer realm="rayflow"'


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer rf_...`; `request.auth` becomes the `ApiToken`.

    First in the list of authenticators, so that its challenge is what a 401 carries.
    """

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, ApiToken] | None:
        scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            token = tokens.authenticate(plain.strip(), request.META.get("REMOTE_ADDR", ""))
        except tokens.TokenRefused as error:
            raise AuthenticationFailed(str(error)) from error
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        offered = request.headers.get("Authorization", "").lower().startswith("bearer")
        return f'{REALM}, error="invalid_token"' if offered else REALM
