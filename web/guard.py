"""Guards the pages: only reading, only from this machine or with the token, and with strict rules for browsers."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "smoothvote"

#: Pages load only from this server, run no inline script, and cannot be shown in a frame.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware around the application.

    Args:
        app: the application.
        token: what a reader must present; None: everybody who reaches this server may read.
        hosts: the host names, without ports, that a request may carry; None: any. This refuses DNS rebinding, where a
            foreign page makes its own name point at this machine: the browser then sends that name.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: frozenset[str] | None) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request as ASGI defines it."""
        if scope["type"] == "lifespan":  # the server starts or ends
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        head = scope["method"] == "HEAD"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # Pages are private, and change while a run is open.
                headers.setdefault("Cache-Control", "private, no-store")
            elif head:
                message = {**message, "body": b""}
            await send(message)

        refused = self._refusal(scope)
        inner = refused or self._app
        await inner({**scope, "method": "GET"} if head else scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return _line("these pages can only be read: use GET or HEAD", 405, {"Allow": "GET, HEAD"})
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            return _line("this server does not answer to that host name: open the address that it printed", 421)
        if self._token is None:
            return None
        return self._ask_for_token(self._token, scope, headers)

    def _ask_for_token(self, token: str, scope: Scope, headers: Headers) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = dict(query).get("token")
        if asked is not None and _same(asked, token):
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
            clean = path + (f"?{rest}" if rest else "")
            # A browser would read a path that begins with // as another host.
            answer = RedirectResponse("/" + clean.lstrip("/"), 303)
            # Lax, not strict: a link in a chat or a mail must work, and no request changes anything here.
            answer.set_cookie(
                COOKIE, _cookie(token), httponly=True, samesite="lax", secure=scope.get("scheme") == "https"
            )
            return answer
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), token):
            return None
        if _same(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""), _cookie(token)):
            return None
        said = (
            "a token is needed: open this page once with ?token=TOKEN, or send the header Authorization: Bearer TOKEN"
        )
        return _line(said, 401, {"WWW-Authenticate": "Bearer"})


def _line(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; an IPv6 address keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).lower()


def _same(given: str, expected: str) -> bool:
    """Compares in constant time, so that the time taken does not tell where two strings differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode(errors="replace"))


def _cookie(token: str) -> str:
    """The cookie's value: a hash, because a token may hold characters that a cookie may not, and stays secret so."""
    return hmac.new(token.encode(errors="replace"), b"smoothvote cookie", hashlib.sha256).hexdigest()
