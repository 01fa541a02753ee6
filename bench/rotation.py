"""A relying service with PyJWT: one line in (a token), one line out (the kid, or why not)."""

import sys

import jwt

url, issuer, lifespan, skew = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
keys = jwt.PyJWKClient(url, cache_keys=False, cache_jwk_set=True, lifespan=lifespan, timeout=30)

for line in sys.stdin:
    token = line.strip()
    try:
        key = keys.get_signing_key_from_jwt(token)
        jwt.decode(
            token, key, algorithms=["ES256", "EdDSA", "PS256", "RS256"], issuer=issuer, leeway=skew,
            options={"verify_aud": False},
        )
        print("ok", flush=True)
    except jwt.ExpiredSignatureError:
        print("ERR_JWT_EXPIRED", flush=True)
    except Exception as error:  # noqa: BLE001
        print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
