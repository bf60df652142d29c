"""Django settings, derived from the environment variables in `rayflow_web.environment`.

Nothing here imports Ray or the engine library: a web process starts without them.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url

from rayflow_web import environment, logs
from workflows_app.api import conf

try:
    ENVIRONMENT = environment.read()
except environment.ConfigurationError as error:
    # One sentence and a non-zero exit, whichever program loads the settings.
    raise SystemExit(f"rayflow: {error}") from error

BASE_DIR = Path(__file__).resolve().parent.parent
# In a checkout templates and static files lie at the top; a wheel carries them in this package.
PAGES_DIR = BASE_DIR if (BASE_DIR / "templates").is_dir() else BASE_DIR / "rayflow_web"
DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
ALLOWED_HOSTS = list(ENVIRONMENT.allowed_hosts)

RAYFLOW_DATA_DIR = ENVIRONMENT.data_dir
RAYFLOW_STORAGE = ENVIRONMENT.storage
RAYFLOW_FLOWS = ENVIRONMENT.flows
RAYFLOW_RAY_ADDRESS = ENVIRONMENT.ray_address
# The one way into the engine. Tests put their own gateway here.
RAYFLOW_GATEWAY = "workflows_app.engine.RayGateway"

ROOT_URLCONF = "rayflow_web.urls"
ASGI_APPLICATION = "rayflow_web.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "axes",
    "csp",
    "django_celery_beat",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "workflows_app",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "workflows_app.middleware.request_id_middleware",
    "workflows_app.api.middleware.api_boundary",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PAGES_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- Database -------------------------------------------------------------------------------

SQLITE_OPTIONS = {
    # A write transaction takes the lock when it begins; otherwise two of them that both read
    # first would fail with "database is locked" instead of waiting for each other.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;"
        " PRAGMA cache_size=-32000; PRAGMA temp_store=MEMORY;"
    ),
}


def _database(url: str) -> dict[str, Any]:
    # Requests run in threads that come and go: a connection kept by one of them would outlive its use.
    config: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=0))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {**config.get("OPTIONS", {}), **SQLITE_OPTIONS}
    else:
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": _database(ENVIRONMENT.database_url)}

# --- Redis: channel layer and Celery --------------------------------------------------------

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [ENVIRONMENT.redis_url], "prefix": "rayflow"},
    }
}

CELERY_BROKER_URL = ENVIRONMENT.redis_url
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "rayflow:",
    # A message that a killed worker had taken is delivered again after this many seconds. The
    # sweep finds the command earlier; every task may safely be delivered twice.
    "visibility_timeout": 120,
    # A page never waits for a dead Redis: the command is stored, the sweep sends it later.
    "socket_connect_timeout": 2,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
    "socket_timeout": 20,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Ray needs real output streams when it connects; Celery would put stand-ins in their place.
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "rayflow"
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_BEAT_SCHEDULE = {
    "rayflow-sweep": {
        "task": "workflows_app.sweep",
        "schedule": 5.0,
        "options": {"expires": 5.0},
    },
    "rayflow-tick": {
        "task": "workflows_app.tick",
        "schedule": 2.0,
        "options": {"expires": 2.0},
    },
}

# --- Language, time, files ------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
# Where the site lies below its host, such as /rayflow; empty: at its root.
FORCE_SCRIPT_NAME = ENVIRONMENT.base_path or None
STATIC_URL = "static/"
STATICFILES_DIRS = [PAGES_DIR / "static"]
# Files are served from where they lie: no collectstatic step in the default set-up.
WHITENOISE_USE_FINDERS = True

# --- Security -------------------------------------------------------------------------------

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses who has failed too often
    "django.contrib.auth.backends.ModelBackend",
]
# Wrong passwords for one account from one address; a right one in between begins anew.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "workflows_app.pages.session.locked_out"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{ENVIRONMENT.base_path}/"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# RAYFLOW_HTTPS=1 says that a proxy in front terminates TLS and sets X-Forwarded-Proto.
if ENVIRONMENT.https:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "worker-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}

# --- REST -----------------------------------------------------------------------------------

REST_FRAMEWORK = conf.REST_FRAMEWORK
SPECTACULAR_SETTINGS = conf.SPECTACULAR_SETTINGS
API_MAX_BODY_BYTES = conf.MAX_BODY_BYTES
API_MAX_WAITERS = conf.MAX_WAITERS

# --- Logging --------------------------------------------------------------------------------

LOGGING = logs.config(ENVIRONMENT.log_format)
