"""Who may read the pages: methods, host names, tokens, and where the server listens."""

from pathlib import Path

import pytest
from website import client, new_record

from db.errors import WrongUse
from db.settings import Settings
from web.guard import COOKIE
from web.server import is_local, listen, serve


def test_only_get_and_head_are_allowed(tmp_path: Path) -> None:
    with client(new_record(tmp_path)) as asked:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = asked.request(method, "/")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        head = asked.head("/")
        assert (head.status_code, head.content) == (200, b"")


def test_browsers_may_load_from_this_server_only(tmp_path: Path) -> None:
    with client(new_record(tmp_path)) as asked:
        for address in ("/", "/nowhere", "/api/runs", "/static/page.js"):
            headers = asked.get(address).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert asked.get("/").headers["cache-control"] == "private, no-store"


def test_a_foreign_host_name_is_refused(tmp_path: Path) -> None:
    with client(new_record(tmp_path), hosts=frozenset({"localhost", "127.0.0.1", "[::1]"})) as asked:
        for host in ("127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"):
            assert asked.get("/", headers={"host": host}).status_code == 200, host
        for host in (
            "evil.example",
            "evil.example:8765",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "",
            "::1",
        ):
            answer = asked.get("/", headers={"host": host})
            assert (answer.status_code, "does not answer to that host name" in answer.text) == (421, True), host


def test_a_server_with_a_token_answers_nobody_without_it(tmp_path: Path) -> None:
    with client(new_record(tmp_path), token="grüße; 7") as asked:
        for address in ("/", "/api/runs", "/static/page.js", "/pictures/a/1/thumbnail", "/?token=wrong", "/?token="):
            answer = asked.get(address)
            assert answer.status_code == 401, address
            assert "a token is needed" in answer.text
        assert asked.get("/", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 401
        assert asked.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert asked.get("/", headers={"authorization": "Basic wrong"}).status_code == 401


def test_a_token_in_the_address_becomes_a_cookie_that_does_not_contain_it(tmp_path: Path) -> None:
    with client(new_record(tmp_path), token="let me in") as asked:
        answer = asked.get("/compare?a=1&token=let+me+in&b=")
        assert (answer.status_code, answer.headers["location"]) == (303, "/compare?a=1&b=")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))
        assert "let me in" not in cookie
        assert asked.get("/").status_code == 200  # the client kept the cookie
        asked.cookies.clear()
        assert asked.get("/").status_code == 401
        assert asked.get("/", headers={"authorization": "bearer let me in"}).status_code == 200
        away = asked.get("http://127.0.0.1:8765//evil.example/?token=let+me+in")
        assert away.headers["location"] == "/evil.example/"
        asked.cookies.clear()
        odd = asked.get("/runs/a%3Fb%25d?token=let+me+in")
        assert odd.headers["location"] == "/runs/a%3Fb%25d", "no letter of a name is lost"


def test_listening_for_other_machines_needs_a_token() -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(WrongUse, match="could read the record: export SMOOTHVOTE_TOKEN=… first"):
            listen(host, 0, None)
    for host, token in (("127.0.0.1", None), ("localhost", None), ("0.0.0.0", "a token")):
        listen(host, 0, token).close()
    assert [is_local(address) for address in ("127.0.0.1", "127.8.9.10", "::1")] == [True] * 3
    assert [is_local(address) for address in ("0.0.0.0", "10.0.0.1", "::", "fe80::1%eth0")] == [False] * 4


def test_a_taken_port_and_an_unknown_host_are_reported_in_one_line(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0, None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WrongUse, match=f"--port {port}: it is taken at 127.0.0.1; choose another"):
            serve(new_record(tmp_path), None, host="127.0.0.1", port=port, token=None)
    with pytest.raises(WrongUse, match=r"--host a\.\.b: there is no such address"):
        listen("a..b", 0, None)
    with pytest.raises(WrongUse, match=r"--host 192\.0\.2\.1 --port 0: "):
        listen("192.0.2.1", 0, "a token")


def test_an_unusable_database_is_reported_before_the_server_starts() -> None:
    for token in (None, "", "a token"):
        with pytest.raises(WrongUse, match="cannot reach the database"):
            serve(Settings(database_url="postgresql://127.0.0.1:1/x"), None, host="127.0.0.1", port=0, token=token)
