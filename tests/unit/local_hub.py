"""A model hub on this machine: it serves folders as huggingface.co does, or takes calls and says nothing."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(repositories: dict[str, Path], asked: list[str]) -> Iterator[str]:
    """The address of a hub that holds each folder under its name and notes the paths it is asked for."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = self.path.partition("?")[0].strip("/").removeprefix("api/models/")
            name = next((name for name in repositories if f"{path}/".startswith(f"{name}/")), None)
            if name is None:
                return self.send(404, b"", body)
            folder, rest = repositories[name], path.removeprefix(name).strip("/")
            if "/resolve/" not in f"/{rest}":
                files = [file for file in sorted(folder.iterdir()) if file.is_file()]
                tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40} for f in files]
                info = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]}
                return self.send(200, json.dumps(tree if rest.startswith("tree") else info).encode(), body)
            file = folder / rest.split("/", 2)[2]
            content = file.read_bytes() if file.is_file() else b""
            return self.send(200 if file.is_file() else 404, content, body)

        def send(self, status: int, content: bytes, body: bool) -> None:
            self.send_response(status)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", hashlib.sha1(content).hexdigest())
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silence() -> Iterator[str]:
    """The address of one that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
