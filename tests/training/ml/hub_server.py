"""A model hub on this machine, speaking what a push needs: who am I, make a repository, take one commit."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RIGHTS = {"hf_writer": "write", "hf_reader": "read", "hf_elsewhere": "fineGrained"}


class Hub(ThreadingHTTPServer):
    """`repositories`: {name: {"private", "files": {path: bytes}}}; `seen`: (method, path) of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        self.seen: list[tuple[str, str]] = []
        self.refuses_commits = False
        self.dies_after_making = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Not into the output of the tests."""

    def do_GET(self) -> None:
        role = self._role()
        if self.path == "/api/whoami-v2":
            if role is None:
                return self._answer(401, {"error": "Invalid credentials in Authorization header"})
            return self._answer(200, {"name": "ann", "type": "user", "auth": {"accessToken": {"role": role}}})
        name, tree, _ = self.path.removeprefix("/api/models/").partition("/tree/")
        if tree and name in self.server.repositories:
            files = {".gitattributes": b"*.safetensors", **self.server.repositories[name]["files"]}
            rows = [{"type": "file", "path": path, "oid": "0", "size": len(text)} for path, text in files.items()]
            return self._answer(200, rows)
        return self._answer(404, {"error": "not here"})

    def do_PUT(self) -> None:
        self._seen()
        self.server.uploads[self.path.rpartition("/")[2]] = self._body()
        self._answer(200, {})

    def do_POST(self) -> None:
        role, body = self._role(), self._body()
        if self.path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            return self._create(role, json.loads(body))
        if role != "write":
            return self._answer(403, {"error": "Forbidden"})
        if self.path.endswith("/objects/batch"):
            return self._lfs(json.loads(body))
        if "/preupload/" in self.path:
            files = [{"path": file["path"], **_mode(file)} for file in json.loads(body)["files"]]
            return self._answer(200, {"files": files})
        return self._commit([json.loads(line) for line in body.splitlines() if line])

    def _create(self, role: str | None, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'ann'}/{asked['name']}"
        if role != "write":
            return self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
        if name in self.server.repositories:
            return self._answer(409, {"error": "You already created this model repo"})
        if self.server.dies_after_making:
            self.server.dies_after_making = False
            self.server.repositories[name] = {"private": True, "files": {}}
            return self.connection.close()
        private = asked.get("private", asked.get("visibility") == "private")
        self.server.repositories[name] = {"private": private, "files": {}}
        return self._answer(200, {"url": f"{self.server.address}/{name}", "name": name, "id": name})

    def _lfs(self, asked: dict[str, Any]) -> None:
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.server.address}/upload/{item['oid']}"}}}
            for item in asked["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects}, "application/vnd.git-lfs+json")

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        if self.server.refuses_commits:
            return self._answer(400, {"error": "No."})
        name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        files = self.server.repositories[name]["files"]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
        url = f"{self.server.address}/{name}/commit/{'0' * 40}"
        return self._answer(200, {"commitUrl": url, "commitOid": "0" * 40, "success": True})

    def _role(self) -> str | None:
        self._seen()
        return RIGHTS.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _seen(self) -> None:
        self.server.seen.append((self.command, self.path))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, content: Any, kind: str = "application/json") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    weights = file["path"].endswith(".safetensors")
    return {"uploadMode": "lfs" if weights else "regular", "shouldIgnore": False, "oid": None}
