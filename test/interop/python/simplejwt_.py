import os

import django
from django.conf import settings

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
SIMPLE_JWT = {
    "ALGORITHM": "ES256",
    "JWK_URL": f"{issuer}/.well-known/jwks.json",
    "ISSUER": issuer,
    "AUDIENCE": audience,
    "TOKEN_TYPE_CLAIM": None,  # it means a claim of its own, not typ
    "USER_ID_CLAIM": "sub",
}
# --- end
settings.configure(
    SECRET_KEY=os.urandom(32).hex(),
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    REST_FRAMEWORK=REST_FRAMEWORK,
    SIMPLE_JWT=SIMPLE_JWT,
)
django.setup()

from django.urls import path  # noqa: E402
from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402


@api_view()
def show(request):
    return Response({"sub": request.user.id})


urlpatterns = [path("", show)]
answer = APIClient().get("/", headers={"authorization": f"Bearer {token}"})
print(answer.data["sub"] if answer.status_code == 200 else f"{answer.status_code} {answer.data}")
raise SystemExit(answer.status_code != 200)
