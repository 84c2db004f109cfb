"""A webhook on this machine that alerts and heartbeats go to, and that fails when it is told to."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal


class Hook:
    """Take what is posted, on a port of its own; a context manager.

    Attributes:
        does: "take" it, answer "fail" (HTTP 500), or "hang" until the end.
        posts: The bodies that were posted, as JSON.
        came: When each came, by `time.time`.
        paths: The paths of all requests.
    """

    def __init__(self) -> None:
        self.does: Literal["take", "fail", "hang"] = "take"
        self.posts: list[dict[str, Any]] = []
        self.came: list[float] = []
        self.paths: list[str] = []
        self._is_over = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.paths.append(self.path)
                hook.came.append(time.time())
                hook.posts.append(json.loads(body))
                if hook.does == "hang":
                    hook._is_over.wait()
                self.answer()

            def do_GET(self) -> None:
                hook.paths.append(self.path)
                self.answer()

            def answer(self) -> None:
                self.send_response(500 if hook.does == "fail" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Write no log."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that has left is no error."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """The port."""
        return int(self._server.server_address[1])

    @property
    def titles(self) -> list[str]:
        """The first lines of what was posted."""
        return [str(post["title"]) for post in self.posts]

    def __enter__(self) -> Any:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and let go of who hangs."""
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
