"""An OpenID provider as a process of its own, on loopback: discovery, keys, codes with PKCE, devices, real signatures.

Run as `python oidc_provider.py PORT`. It signs on whoever it is told to (`POST /people`), and does what an attacker in
its place would do when asked to (`POST /misbehave`).
"""

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


class Provider:
    """What the provider knows."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.person: dict[str, Any] = {"sub": "subject-1", "groups": ["ml"], "preferred_username": "emil"}
        self.wrong: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.devices: dict[str, int] = {}
        self.key_fetches = 0
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self.key, self.kid = rsa.generate_private_key(public_exponent=65537, key_size=2048), secrets.token_hex(4)

    def id_token(self, client: str, nonce: str = "") -> str:
        """A signed token about the person, with whatever is to be wrong with it."""
        now = int(time.time())
        said = {"iss": self.issuer, "aud": client, "iat": now, "exp": now + 300} | self.person
        said |= {"nonce": nonce} if nonce else {}
        said |= self.wrong.get("claims", {})
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048) if self.wrong.get("key") else self.key
        return jwt.encode(said, key, algorithm="RS256", headers={"kid": self.kid})

    def get(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Answer a GET."""
        match path:
            case "/.well-known/openid-configuration":
                names = ("authorization", "token", "device_authorization")
                found = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in names}
                found |= {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
                return 200, found | {"authorization_response_iss_parameter_supported": True} | self.wrong.get(
                    "discovery", {}
                )
            case "/keys":
                self.key_fetches += 1
                public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
                return 200, {"keys": [public | {"kid": self.kid, "use": "sig"}]}
            case "/authorization":
                code = secrets.token_hex(8)
                self.codes[code] = query
                back = {"code": code, "state": query["state"], "iss": self.issuer}
                return 302, f"{query['redirect_uri']}?{urlencode(back)}"
            case "/fetches":
                return 200, {"keys": self.key_fetches}
            case _:
                return 404, {}

    def post(self, path: str, fields: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Answer a POST."""
        match path:
            case "/people":
                self.person = json.loads(body)
                return 200, {}
            case "/misbehave":
                self.wrong = json.loads(body)
                return 200, {}
            case "/rotate":
                self.rotate()
                return 200, {}
            case "/workload":
                return 200, {"token": self.id_token(json.loads(body)["audience"])}
            case "/device_authorization":
                code = secrets.token_hex(16)
                self.devices[code] = 0
                where = f"{self.issuer}/device"
                answer = {"device_code": code, "user_code": "BDWP-HQPK", "verification_uri": where}
                return 200, answer | {"expires_in": 600, "interval": 1}
            case "/token":
                return self.token(fields)
            case _:
                return 404, {}

    def token(self, fields: dict[str, str]) -> tuple[int, Any]:
        """Answer at the token endpoint, as RFC 6749, 7636 and 8628 say."""
        if fields.get("device_code") in self.devices:
            self.devices[fields["device_code"]] += 1
            waits = {1: "authorization_pending", 2: "slow_down"}
            error = self.wrong.get("device") or waits.get(self.devices[fields["device_code"]])
            return (400, {"error": error}) if error else (200, {"id_token": self.id_token(fields["client_id"])})
        asked = self.codes.pop(fields.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != fields.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        hashed = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(hashed).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        access = secrets.token_hex(8)
        half = base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).rstrip(b"=").decode()
        self.person["at_hash"] = half
        made = self.id_token(fields["client_id"], asked["nonce"])
        del self.person["at_hash"]
        return 200, {"id_token": made, "access_token": access, "token_type": "Bearer"}


def serve(port: int) -> None:
    """Answer until killed."""
    provider = Provider(f"http://127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.answer(*provider.get(parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fields = {k: v[0] for k, v in parse_qs(body.decode()).items()}
            self.answer(*provider.post(urlsplit(self.path).path, fields, body))

        def answer(self, status: int, said: Any) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("location", said)
            data = b"" if status == 302 else json.dumps(said).encode()
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
            del format, args

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
