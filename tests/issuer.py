"""An OpenID Connect issuer on 127.0.0.1, as far as those who check tokens see one: discovery, keys, and tokens."""

import http.server
import json
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


def number(value, length=None):
    length = length or (value.bit_length() + 7) // 8
    return jwt.utils.base64url_encode(value.to_bytes(length, "big")).decode()


class Key:
    """A key pair, and how its public half is published."""

    def __init__(self, kid, algorithm="RS256"):
        self.kid, self.algorithm = kid, algorithm
        if algorithm.startswith(("RS", "PS")):
            self.private = rsa.generate_private_key(65537, 2048)
            numbers = self.private.public_key().public_numbers()
            self.jwk = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        elif algorithm.startswith("ES"):
            curve, name, size = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48)}[algorithm]
            self.private = ec.generate_private_key(curve)
            numbers = self.private.public_key().public_numbers()
            self.jwk = {"kty": "EC", "crv": name, "x": number(numbers.x, size), "y": number(numbers.y, size)}
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            raw = self.private.public_key().public_bytes_raw()
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": jwt.utils.base64url_encode(raw).decode()}
        self.jwk |= {"kid": kid, "use": "sig", "alg": algorithm}


class Issuer:
    """Serves until it is left. `asked` counts requests for the keys; `down` makes it answer 500."""

    def __init__(self):
        self.keys = [Key("first")]
        self.asked, self.down = 0, False
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                documents = {
                    "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"},
                    "/keys": {"keys": [key.jwk for key in issuer.keys]},
                    "/liar/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"},
                    "/moved/.well-known/openid-configuration": None,
                    "/large": {"keys": [key.jwk for key in issuer.keys], "more": "x" * 1_000_000},
                }
                issuer.asked += self.path == "/keys"
                if self.path.startswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", issuer.url + "/keys")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                document = documents.get(self.path)
                self.send_response(500 if issuer.down else 404 if document is None else 200)
                body = b"" if issuer.down or document is None else json.dumps(document).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def claims(self, **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "orders", "sub": "ada", "iat": now, "exp": now + 600, "scope": "read write", "n": 7} | more
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key=None, headers=None, **claims):
        key = key or self.keys[0]
        return jwt.encode(self.claims(**claims), key.private, key.algorithm, headers={"kid": key.kid} | (headers or {}))
