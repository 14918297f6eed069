"""Who may ask `stepcoder view`, and what a browser may do with its pages."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from benchmarks.made_run import make_run
from stepcoder.deploy.view.app import build
from stepcoder.deploy.view.opening import opened
from tests.deploy.test_view import client


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("guard") / "made", 2, 2, 2, problems=3)


def test_a_page_of_another_origin_is_refused(made: Path) -> None:
    browser = client(made)
    own = {"Origin": "http://127.0.0.1:8070", "Sec-Fetch-Site": "same-origin"}
    assert browser.get("/api/overview", headers=own).status_code == 200
    for headers in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ):  # fmt: skip
        assert browser.get("/api/overview", headers=headers).status_code == 403, headers
    clicked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert browser.get("/", headers=clicked).status_code == 200
    assert browser.get("/", headers={"Host": "evil.example:8070"}).status_code == 421  # a name that leads here
    assert browser.post("/").status_code == 405


def test_the_policy_lets_nothing_run_but_our_files(made: Path) -> None:
    for where in ("/", "/static/charts.js", "/nothing", "/api/overview"):
        headers = client(made).get(where).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    page = client(made).get("/").text
    assert "style=" not in page and not re.search(r"\son\w+=", page)


def test_with_a_token_nothing_is_told_without_it(made: Path) -> None:
    app = build(opened([str(made)]), token="sesame")
    browser = TestClient(app, base_url="http://host:1", follow_redirects=False)
    for where in ("/", "/static/view.css", "/api/overview", "/?token=wrong", "/nothing"):
        assert browser.get(where).status_code == 401
    entered = browser.get("/step?run=made&token=sesame")
    assert entered.status_code == 303 and entered.headers["location"] == "/step?run=made"
    cookie = entered.headers["set-cookie"]
    assert "httponly" in cookie.lower() and "samesite=lax" in cookie.lower() and "sesame" not in cookie
    assert browser.get("/step?run=made").status_code == 200
    bearer = TestClient(app, base_url="http://host:1")
    assert bearer.get("/", headers={"Authorization": "Bearer sesame"}).status_code == 200
    assert bearer.get("//evil.example/?token=sesame", follow_redirects=False).headers["location"] == "/"
