"""The page that follows a search or a study: who may read it, what it shows, what it survives."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.cli.entry import main
from archwalk.errors import RunError, SettingsError
from archwalk.reporting.watching.chart import Line, chart, ticks
from archwalk.reporting.watching.server import Watch
from archwalk.reporting.watching.state import View, look
from tests.conftest import tiny_benchmark
from tests.reporting.test_report import parsed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<img src=x onerror=alert(1)>"


def evaluate(architecture: str) -> dict[str, float]:
    if "_11" in architecture:
        raise RuntimeError(f"broken {EVIL}")
    return {"top1": float(len(set(architecture))), "params": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("search") / "out"
    archwalk.search(evaluate, out, space="transnas-micro", method="random", metric="top1", budget=30)
    return out


@contextmanager
def watched(folder: Path) -> Iterator[Watch]:
    watch = Watch(folder)
    thread = threading.Thread(target=watch.serve)
    thread.start()
    try:
        yield watch
    finally:
        watch.close()
        thread.join(10)


def ask(
    watch: Watch, path: str = "/", method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", watch.port, timeout=10)) as connection:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def test_the_page_shows_the_search(folder: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in folder.rglob("*")}
    with watched(folder) as watch:
        assert watch._server.server_address[0] == "127.0.0.1"
        answer, html = ask(watch)
    assert answer.status == 200
    text = " ".join(re.sub(r"<script.*?</script>", "", html, flags=re.S).split())
    page = parsed(re.sub(r"<script.*?</script>", "", html, flags=re.S))
    shown = " ".join(page.text)
    result = json.loads((folder / "result.json").read_text())
    assert f"{result['value']:.5g} best top1" in shown
    assert "30 evaluations" in shown
    assert f"{result['failed']} × failed: RuntimeError: broken <img src=x onerror=alert(…)>" in shown
    assert EVIL not in text
    assert result["looks"][-1]["architecture"] in shown
    assert len(page.links) == 2  # chart and drawing
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert {f: f.stat().st_mtime_ns for f in folder.rglob("*")} == before  # it only reads


def test_only_this_machine_and_only_the_page(folder: Path, tmp_path: Path) -> None:
    with watched(folder) as watch:
        for host in (f"127.0.0.1:{watch.port}", f"localhost:{watch.port}"):
            assert ask(watch, Host=host)[0].status == 200
        for host in ("evil.example", f"evil.example:{watch.port}", "127.0.0.1", "", "localhost:1"):
            answer, said = ask(watch, Host=host)
            assert answer.status == 421
            assert "top1" not in said
        for path in ("/result.json", "/../out/result.json", "/live/", "/live?x", "/%2e%2e/", "/runs"):
            answer, said = ask(watch, path)
            assert answer.status == 404
            assert "top1" not in said
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(watch, "/live", method)[0].status == 501
        answer, nothing = ask(watch, method="HEAD")
        assert (answer.status, nothing) == (200, "")
        policy = ask(watch)[0].headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "unsafe" not in policy
        nonces = set(re.findall(r"nonce-([\w-]+)", policy))
        answer, html = ask(watch)
        assert not nonces & set(re.findall(r'nonce="([\w-]+)"', html))  # a new one each time
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        with pytest.raises(RunError, match=f"to listen on port {watch.port}"):
            Watch(folder, watch.port)
    with pytest.raises(SettingsError, match="a port"):
        Watch(folder, 70_000)
    for missing in (tmp_path / "nowhere", folder / "result.json"):
        with pytest.raises(RunError, match="the folder of a search or a study"):
            Watch(missing)


def test_what_is_new_is_sent_and_what_is_not_is_not(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    with watched(copy) as watch:
        answer, first = ask(watch, "/live")
        tag = answer.headers["ETag"]
        assert f'tag = "{tag}"' in ask(watch)[1]
        assert ask(watch, "/live", If_None_Match=tag)[0].status == 304
        archwalk.search(evaluate, copy, space="transnas-micro", method="random", metric="top1", budget=33)
        answer, second = ask(watch, "/live", If_None_Match=tag)
        assert answer.status == 200
        assert answer.headers["X-Title"].startswith("33")
        assert "<b>30" in first
        assert "<b>33" in second


def test_budget_and_end_are_shown_where_the_folder_says_them(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps(result | {"finished": False, "budget": 60}))
    with closing(sqlite3.connect(copy / "evaluations.sqlite")) as db, db:
        db.execute("INSERT INTO evaluations (key, architecture, owner) VALUES ('k', 'a', 'me')")
    view = look(copy)
    text = " ".join(parsed(view.html.decode()).text)
    assert view.title == "30/60 evaluations"
    assert "30 of 60 evaluations" in text
    assert "1 begun, not finished" in text
    assert "left, if it goes on like this" in text
    assert '<progress value="30" max="60">' in view.html.decode()
    (copy / "result.json").write_text(json.dumps(result | {"finished": True, "budget": 30}))
    assert look(copy).title == "30/30 evaluations, finished"


def test_a_folder_in_any_state_is_survived(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    whole = (folder / "evaluations.sqlite").read_bytes()
    with watched(copy) as watch:
        assert "Nothing has begun in this folder yet" in ask(watch, "/live")[1]
        for content in (b"", whole[:5_000], b"x" * 9_000):
            (copy / "evaluations.sqlite").write_bytes(content)
            answer, html = ask(watch, "/live")
            assert answer.status == 200
            assert "Waiting for" in html
        (copy / "evaluations.sqlite").write_bytes(whole)
        assert "best top1" in ask(watch, "/live")[1]
        (copy / "result.json").write_text('{"half":')
        assert "result.json cannot be read" in ask(watch, "/live")[1]
        (copy / "tasks.json").write_text("[")
        assert "Waiting for an intact tasks.json" in ask(watch, "/live")[1]
        (copy / "tasks.json").write_text('["one"]')
        assert "Waiting for at least one finished evaluation" in ask(watch, "/live")[1]
        shutil.rmtree(copy)
        assert "Nothing has begun" in ask(watch, "/live")[1]


def test_ctrl_c_ends_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = Watch.serve

    def interrupted(self: Watch) -> None:
        main = threading.main_thread().ident
        threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
        serve(self)

    monkeypatch.setattr(Watch, "serve", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job ignores it
    try:
        main(["watch", str(folder)])
    finally:
        signal.signal(signal.SIGINT, before)
    printed = capsys.readouterr().out
    assert re.search(r"watching .* at http://127\.0\.0\.1:\d+/ ", printed)
    assert printed.endswith("ended\n")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_it_and_keeps_it_new(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = look(folder), 0

    def view(
        self: Watch,
    ) -> View:  # nothing at first, the search later: only the page's own script gets there
        nonlocal asked
        asked += 1
        return look(tmp_path) if asked < 2 else real

    monkeypatch.setattr(Watch, "view", view)
    with watched(folder) as watch:
        command = [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/c",
        ]
        size = ["--window-size=390,900", "--virtual-time-budget=6000", "--dump-dom", watch.url]
        shown = subprocess.run([*command, *size], capture_output=True, text=True, timeout=120, check=True)
    assert asked >= 2
    assert "<title>30/30 evaluations, finished · out</title>" in shown.stdout
    assert "best top1" in shown.stdout
    assert "last change" in shown.stdout
    assert "Nothing has begun" not in shown.stdout
    assert EVIL not in shown.stdout


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 8))
@settings(max_examples=60, deadline=None)
def test_ticks_are_round_and_within(low: float, width: float, most: int) -> None:
    high = low + width
    found = ticks(low, high, most)
    assert len(found) <= most + 1
    step = float(f"{found[1] - found[0]:.3g}") if len(found) > 1 else 1.0
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert all(low - slack <= t <= high + slack for t in found)
    if len(found) > 1 and width > 1e-3 * abs(low):
        assert f"{step:e}"[0] in "125"
    assert ticks(low, low) == [low]


def test_a_chart_is_well_formed_and_holds_its_points() -> None:
    lines = [Line([(1, 2.0), (3, 4.0), (5, 4.0)], "one & <two>", steps=True), Line([(2, 3.0)], "three")]
    svg = ElementTree.fromstring(chart("t", "words", ("x", "y"), lines, [(1, 2.0), (4, 1.0)]))
    groups = {g.attrib.get("data-chart"): g for g in svg.iter() if "data-chart" in g.attrib}
    assert len(groups["dots"]) == 2
    text = [e.text for e in svg.iter() if e.tag.endswith("text")]
    assert "one & <two>" in text
    drawn = [
        p.attrib["d"]
        for g in svg.iter()
        if g.attrib.get("data-chart") == "line"
        for p in g
        if "d" in p.attrib
    ]
    assert len(drawn) == 3  # across, up, across
    assert not any("C" in d for d in drawn)
    empty = ElementTree.fromstring(chart("t", "w", ("x", "y"), [Line([])]))
    assert empty is not None


def test_the_benchmark_of_a_page_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder moved to another machine, without its benchmark, is followed all the same."""
    table = tiny_benchmark()
    archwalk.search(None, tmp_path / "out", space=table, task="main", method="random", budget=4)
    monkeypatch.setattr("archwalk.tasks.registry.load_benchmark", lambda given: pytest.fail("opened"))
    assert look(tmp_path / "out").title == "4/4 evaluations, finished"
