"""Who may ask for a page, and how: reading only, from this machine or with the token; and what browsers may do."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "smoothvote"

#: Pages need nothing but what this server sends, run no inline script, and are framed by nobody.
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
    """ASGI middleware around all else.

    Args:
        app: what is guarded.
        token: who has it may read; None: everybody who reaches this server may.
        hosts: names that this server answers to, without ports. A page elsewhere whose name was made to point at this
            machine (DNS rebinding) sends its own name. None: any name; then the token is what keeps strangers out.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: frozenset[str] | None) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] == "lifespan":  # that the server starts and ends
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        head = scope["method"] == "HEAD"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # What a run holds is nobody else's, and changes.
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
            return _line("these pages can only be read: GET or HEAD", 405, {"Allow": "GET, HEAD"})
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            return _line("this server is not known by that name: open it by the address that it printed", 421)
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
            # A path that begins with // would be read as another host.
            answer = RedirectResponse("/" + clean.lstrip("/"), 303)
            # Lax, not strict: a link in a chat or a mail is to work, and nothing here can be changed by one.
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
    """In a time that says nothing of where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode(errors="replace"))


def _cookie(token: str) -> str:
    """What stands for the token in a cookie: a token may hold what a cookie may not, and need not lie in a browser."""
    return hmac.new(token.encode(errors="replace"), b"smoothvote cookie", hashlib.sha256).hexdigest()
