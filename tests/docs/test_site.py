"""The site is built without a warning, its links lead somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from archwalk.cli import main
from archwalk.cli.commands import command_line
from archwalk.config import load_preset
from tests.test_public import TABLE

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs/site"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``make docs`` makes it."""
    pytest.importorskip("myst_parser")
    out = tmp_path_factory.mktemp("site") / "html"
    done = subprocess.run([sys.executable, SITE / "build.py", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


class Page(HTMLParser):
    """What a page has and needs.

    Attributes:
        ids: where links into it may lead.
        links: what a reader may follow.
        loaded: what a browser loads with the page.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids, self.links, self.loaded = set[str](), list[str](), list[str]()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link":
            self.loaded.append(given["href"])
        self.loaded += [given[name] for name in ("src", "data", "poster", "srcset") if name in given]


def faults(site: Path) -> Iterator[str]:
    """Every link or anchor that leads nowhere, everything that is loaded from elsewhere."""
    pages = {file: Page(file) for file in site.rglob("*.html") if "_downloads" not in file.parts}
    for file, page in pages.items():
        for target in [*page.links, *page.loaded]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    yield f"{file.name} loads {target}"
                continue
            there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not there.is_file():
                yield f"{file.name}: {target} is not there"
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].ids:
                yield f"{file.name}: {target} has no such anchor"
    for style in site.rglob("*.css"):
        for target in re.findall(r"(?:url\(|@import)\s*['\"]?(\w+:|//)", style.read_text("utf-8")):
            if target != "data:":
                yield f"{style.name} loads from {target}"


def test_every_link_leads_somewhere_and_nothing_is_loaded(site: Path) -> None:
    assert list(faults(site)) == []
    assert len(list(site.rglob("*.html"))) > 60


def test_faults_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link href="https://e.org/x.css"><p id=here><a href="#here"></a><a href="#there"></a>'
        '<a href="b.html#x"></a><a href="c.html"></a><img src="//e.org/p.png"><a href="https://e.org"></a>'
    )
    (tmp_path / "b.html").write_text("<p id=y>")
    (tmp_path / "s.css").write_text("@font-face { src: url('https://e.org/f.woff'), url(data:x) }")
    assert sorted(faults(tmp_path)) == [
        "a.html loads //e.org/p.png",
        "a.html loads https://e.org/x.css",
        "a.html: #there has no such anchor",
        "a.html: b.html#x has no such anchor",
        "a.html: c.html is not there",
        "s.css loads from https:",
    ]


def tool(name: str) -> ModuleType:
    """A module beside the settings of the site."""
    spec = importlib.util.spec_from_file_location(name, SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_a_link_to_nowhere_ends_the_build(tmp_path: Path) -> None:
    pytest.importorskip("myst_parser")
    code = (
        f"import sys; sys.path.insert(0, {str(SITE)!r})\nfrom build import build\nfrom pathlib import Path\n"
        "for text in ('[a](#b)\\n\\n## B\\n', '[a](#c)\\n\\n## B\\n', '[a](b.md)\\n'):\n"
        "    Path('pages').mkdir(exist_ok=True)\n    Path('pages/index.md').write_text('# A\\n\\n' + text)\n"
        "    print(build(Path('pages'), Path('out')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1", "1"], done.stderr


def test_every_flag_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that ``--help`` says, and no others."""
    monkeypatch.setenv("COLUMNS", "100")
    flags = tool("flags")
    app = command_line(load_preset(flags.PRESET))
    commands = dict(app.leaves("archwalk"))
    assert len(commands) > 30
    for full, command in commands.items():
        out = io.StringIO()
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
            main([*full.split()[1:], "--help"])
        rows = re.findall(r"^[│ ] ((?:-h, )?--.*)$", out.getvalue(), re.MULTILINE)
        shown = [name for row in rows for name in re.findall(r"--[a-z][\w.-]*", row.partition("  ")[0])]
        described = [name for flag in flags.flags_of(command) for name in flag.names if name[0] == "-"]
        assert set(described) == set(shown) - {"--help"}, full
        assert all(flag.text.strip() for flag in flags.flags_of(command)), full
    made = "".join(flags.pages().values())
    assert all(f"```{{program}} {full}\n" in made for full in commands)
    train = flags.pages()["train"]
    assert (
        train.index("{option} --seed") < train.index("## Settings `walk`") < train.index("--walk.step-limit")
    )
    assert isinstance(commands["archwalk train"], partial)  # with the settings of a preset
    assert "{option} --learner.discount FLOAT\nDiscount a step (assumption). Default: `0.97`." in made


def test_every_public_name_is_described(site: Path) -> None:
    for module, names in TABLE.items():
        page = site / f"reference/python/{module}.html"
        ids, text = Page(page).ids, unescape(page.read_text("utf-8"))
        for name in names:
            assert f"{module}.{name}" in ids or f">{name}</span></code> is <a" in text, f"{module}.{name}"


def test_messages_of_the_troubleshooting_are_real() -> None:
    said = "\n".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    quoted = re.findall(r"^\*\*`([^`]+)`\.\*\*", page, re.MULTILINE)
    assert len(quoted) >= 4
    for message in quoted:
        assert all(part.strip() in said for part in message.split("…")), message


FRAMES = """<body style="margin:0"><script>
async function look(pages) {
  const wide = [];
  for (const page of pages) {
    const frame = document.createElement("iframe");
    frame.style = "width:390px;height:800px;border:0";
    frame.src = page;
    document.body.append(frame);
    await new Promise(loaded => (frame.onload = loaded));
    const root = frame.contentDocument.documentElement;
    if (root.scrollWidth > 390) wide.push(page);
    frame.remove();
  }
  document.title = "wide: " + JSON.stringify(wide);
}
look(PAGES);
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_no_page_is_wider_than_a_phone(site: Path, tmp_path: Path) -> None:
    kinds = ("*.html", "docs/**/*.html", "reference/commands/[st]*.html", "reference/python/archwalk*s.html")
    pages = sorted({str(file) for kind in kinds for file in site.glob(kind)})
    assert len(pages) > 40
    (tmp_path / "wide.html").write_text("<h1>x</h1><div style='width:500px'>wide</div>")
    given = [f"file://{page}" for page in [*pages, str(tmp_path / "wide.html")]]
    (tmp_path / "frames.html").write_text(FRAMES.replace("PAGES", json.dumps(given)))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path}/c", "--window-size=500,900", "--virtual-time-budget=100000"]
    shown = subprocess.run(
        [*command, "--dump-dom", str(tmp_path / "frames.html")],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    ).stdout
    (wide,) = re.findall("<title>wide: (.*?)</title>", shown, re.DOTALL)
    wide = json.loads(unescape(wide))
    assert wide == [f"file://{tmp_path}/wide.html"]
