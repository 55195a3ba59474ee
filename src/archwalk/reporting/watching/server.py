"""``Watch``: the page of a running search or study, served to this machine alone.

In: a folder. Out: a page on the loopback address. It reads, it never writes; it has two addresses, ``/`` and
``/live``, and no way to any file. Nothing comes after it.

Pages of other sites, which a browser on this machine may have open, must not read it: the Host header must be
this server's own, so that no foreign name can be made to point here (DNS rebinding), and nothing allows
reading across origins. The page's own policy lets it load nothing from anywhere but ``/live``.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from archwalk.errors import RunError, SettingsError
from archwalk.reporting.page import render
from archwalk.reporting.watching.state import View, look, marks

LOOPBACK = "127.0.0.1"
_SILENT = 10  # seconds after which a connection that says nothing is closed


class Watch:
    """A server of the page of one folder.

    Args:
        folder: of a search or a study; it may be empty as yet.
        port: 0: a free one.

    Attributes:
        url: where the page is.

    Raises:
        RunError: no such folder, or a port that is taken.
        SettingsError: no port.
    """

    def __init__(self, folder: str | Path, port: int = 0) -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise RunError(
                "the folder of a search or a study",
                f"{folder}: {'a file' if self._folder.exists() else 'no such folder'}",
                "check the path; the folder appears when the search begins",
            )
        if not 0 <= port <= 65_535:
            raise SettingsError("a port from 0 (any that is free) to 65535", str(port), "choose another one")
        self._lock = threading.Lock()
        self._marks: object = None
        self._view = View(b"", "")
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), _handler(self))
        except OSError as error:
            raise RunError(
                f"to listen on port {port} of {LOOPBACK}", str(error.strerror), "choose another --port"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://{LOOPBACK}:{self.port}/"

    def serve(self) -> None:
        """Answer until ``close`` is called from another thread, or the process is interrupted."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()

    def close(self) -> None:
        """Stop answering, and let go of the port."""
        self._server.shutdown()
        self._server.server_close()

    def view(self) -> View:
        """What there is to see now; computed again where a file has changed."""
        with self._lock:
            now = marks(self._folder)
            if now != self._marks or not now:
                self._view, self._marks = look(self._folder), now
            return self._view

    def page(self, nonce: str) -> bytes:
        """The whole page as it is now."""
        view = self.view()
        return render(
            "watch.html.j2",
            nonce=nonce,
            name=self._folder.resolve().name,
            place=str(self._folder),
            title=view.title,
            live=view.html.decode(),
            tag=tag_of(view),
        )

    def hosts(self) -> tuple[str, ...]:
        """What a Host header may say."""
        return tuple(f"{name}:{self.port}" for name in (LOOPBACK, "localhost"))


def tag_of(view: View) -> str:
    """A short name of what is shown: equal, nothing has changed."""
    return hashlib.sha256(view.html).hexdigest()[:24]


def _handler(watch: Watch) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "archwalk", ""
        timeout = _SILENT

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, format: str, *arguments: object) -> None:
            """Requests are nobody's business."""

        def _answer(self, with_body: bool) -> None:
            if self.headers.get("Host", "") not in watch.hosts():
                self._send(421, {}, b"this server answers for 127.0.0.1 and localhost alone\n", with_body)
            elif self.path == "/":
                nonce = secrets.token_urlsafe(16)
                policy = (
                    f"default-src 'none'; img-src data:; style-src 'nonce-{nonce}'; "
                    f"script-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'"
                )
                headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
                self._send(200, headers, watch.page(nonce), with_body)
            elif self.path == "/live":
                view = watch.view()
                tag = tag_of(view)
                headers = {
                    "Content-Type": "text/html; charset=utf-8",
                    "Content-Security-Policy": "default-src 'none'",
                    "ETag": tag,
                    "X-Title": quote(view.title),
                }
                if self.headers.get("If-None-Match") == tag:
                    self._send(304, headers, b"", with_body)
                else:
                    self._send(200, headers, view.html, with_body)
            else:
                self._send(404, {}, b"there is nothing but /\n", with_body)

        def _send(self, status: int, headers: dict[str, str], body: bytes, with_body: bool) -> None:
            self.send_response(status)
            every = {
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
            }
            for name, value in (every | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                try:
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

    return Handler
