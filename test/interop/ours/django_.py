import os

import django
from django.conf import settings

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
# settings.py
from mintmark import Verifier

MIDDLEWARE = ["mintmark.django.TokenMiddleware"]  # no view is open
MINTMARK = {"verifier": Verifier(issuer=issuer, audience=audience, name="orders")}
# --- end
settings.configure(
    SECRET_KEY=os.urandom(32).hex(),
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=MIDDLEWARE,
    MINTMARK=MINTMARK,
)
django.setup()
# --- snippet
# views.py
from django.http import JsonResponse
from mintmark.django import require_token


@require_token("orders:read")
def orders(request):
    return JsonResponse({"caller": request.claims.client_id})
# --- end


from django.test import Client
from django.urls import path

urlpatterns = [path("orders", orders)]
answer = Client().get("/orders", headers={"authorization": f"Bearer {token}"})
print(answer.json()["caller"] if answer.status_code == 200 else answer.headers["www-authenticate"])
raise SystemExit(answer.status_code != 200)
