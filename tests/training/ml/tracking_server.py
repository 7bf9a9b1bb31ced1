"""A small real HTTP server that keeps runs as an MLflow tracking server does, and every call it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class Kept:
    """What the server knows: experiments by name, runs by id; `calls` as (path, body or query); `down` answers 503;
    `too_late` makes the next run and says that it took too long."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.down = False
        self.too_late = False

    def metrics(self, run: str = "r0") -> list[tuple[str, int, float]]:
        return [(metric["key"], metric["step"], metric["value"]) for metric in self.runs[run]["metrics"]]

    def is_marked(self, run: str, asked: str) -> bool:
        return any(asked == f"tags.`{tag['key']}` = '{tag['value']}'" for tag in self.runs[run]["tags"])

    def told(self, run: str) -> dict[str, Any]:
        newest = {metric["key"]: metric for metric in self.runs[run]["metrics"]}
        data = {"metrics": list(newest.values()), "params": self.runs[run]["params"]}
        return {"info": {"run_id": run}, "data": data}

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append((path, asked))
        if self.down:
            return 503, {}
        match path:
            case "experiments/get-by-name":
                known = self.experiments.get(asked["experiment_name"])
                return (200, {"experiment": {"experiment_id": known}}) if known else (404, {})
            case "experiments/create":
                return 200, {"experiment_id": self.experiments.setdefault(asked["name"], f"e{len(self.experiments)}")}
            case "runs/create":
                run = f"r{len(self.runs)}"
                self.runs[run] = {**asked, "metrics": [], "params": [], "status": "RUNNING"}
                if self.too_late:
                    self.too_late = False
                    return 504, {}
                return 200, {"run": {"info": {"run_id": run}}}
            case "runs/search":
                return 200, {"runs": [self.told(run) for run in self.runs if self.is_marked(run, asked["filter"])]}
            case "runs/log-batch":
                self.runs[asked["run_id"]]["metrics"] += asked.get("metrics", [])
                self.runs[asked["run_id"]]["params"] += asked.get("params", [])
                return 200, {}
            case "runs/update":
                self.runs[asked["run_id"]]["status"] = asked["status"]
                return 200, {}
        return 404, {}


@contextmanager
def tracking_server() -> Iterator[tuple[str, Kept]]:
    """Its address, and what it keeps."""
    kept = Kept()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, asked: dict[str, Any]) -> None:
            kept.headers.append(dict(self.headers))
            status, body = kept.answer(urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/"), asked)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
