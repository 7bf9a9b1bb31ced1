"""MLflow: mirrors a run over the REST API of a tracking server, if MLFLOW_TRACKING_URI names one."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from training.ml.job import Job
from training.ml.notices import Notices
from training.recipes.words import gettext_noop

if TYPE_CHECKING:
    from training.ml.tracking import Point

# A server that has just been started takes several seconds for its first answer.
SECONDS = 10.0
MARK = "plumbline.identity"
# The API's own limits: https://mlflow.org/docs/latest/rest-api.html#log-batch
MOST_METRICS, MOST_PARAMS, LONGEST_VALUE = 1000, 100, 6000
STATUS = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflow:
    """The server's run is known by a tag: a resumed run goes on with it, and asks it what it has already."""

    name = "MLflow"

    def __init__(self, job: Job, address: str) -> None:
        self.job = job
        self.server, self.login = _parted(address.rstrip("/"))
        self.run = ""
        self.newest: dict[str, int] = {}

    @classmethod
    def configured(cls, job: Job, notices: Notices) -> MLflow | None:
        address = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        if not address or _is_http(address):
            return cls(job, address) if address else None
        said = gettext_noop(
            "MLFLOW_TRACKING_URI is no http address of a tracking server: nothing is mirrored to MLflow."
        )
        notices.say(said)
        return None

    def write(self, points: Sequence[Point]) -> None:
        self.run = self.run or self._begun()
        metrics = [
            {"key": tag, "value": value, "timestamp": int(point.time * 1000), "step": point.step}
            for point in points
            for tag, value in point.values.items()
            if point.step > self.newest.get(tag, -1)
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            piece = metrics[start : start + MOST_METRICS]
            self._post("runs/log-batch", run_id=self.run, metrics=piece)
            self.newest |= {metric["key"]: metric["step"] for metric in piece}

    def restart(self) -> None:
        """What comes again is known by its step."""

    def close(self, how: str) -> None:
        if self.run:
            self._post("runs/update", run_id=self.run, status=STATUS[how], end_time=_now())

    def _begun(self) -> str:
        """The id of the server's run, made if there is none. An answer that came too late is no reason for a second."""
        experiment = self._experiment()
        mark = f"tags.`{MARK}` = '{self.job.identity}'"
        found = self._post("runs/search", experiment_ids=[experiment], filter=mark, max_results=1).get("runs") or []
        if not found:
            tags = [{"key": key, "value": str(value)} for key, value in self._facts().items()]
            name = str(self.job.lineage.get("name") or f"run {self.job.run}")
            asked = {"experiment_id": experiment, "run_name": name, "start_time": _now(), "tags": tags}
            found = [self._post("runs/create", **asked)["run"]]
        run, data = found[0]["info"]["run_id"], found[0].get("data") or {}
        self.newest = {metric["key"]: int(metric.get("step") or 0) for metric in data.get("metrics") or []}
        if not data.get("params"):
            self._tell_settings(run)
        self._post("runs/update", run_id=run, status="RUNNING")
        return run

    def _tell_settings(self, run: str) -> None:
        params = [{"key": k, "value": str(v)[:LONGEST_VALUE]} for k, v in asdict(self.job.config).items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._post("runs/log-batch", run_id=run, params=params[start : start + MOST_PARAMS])

    def _facts(self) -> dict[str, Any]:
        data = self.job.data
        facts = {"run": self.job.run, "recipe": self.job.recipe, "seed": self.job.seed, **self.job.lineage}
        facts |= {"snapshot_hash": data.snapshot_hash} if data else {}
        return {MARK: self.job.identity, **{f"plumbline.{name}": value for name, value in facts.items()}}

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "") or str(self.job.lineage.get("project") or "plumbline")
        try:
            return self._get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return self._post("experiments/create", name=name)["experiment_id"]

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        return self._ask(f"{path}?{urllib.parse.urlencode(query)}", None)

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", **_authorization(self.login)}
        request = urllib.request.Request(f"{self.server}/api/2.0/mlflow/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)


def _is_http(address: str) -> bool:
    try:
        return urllib.parse.urlsplit(address).scheme in ("http", "https")
    except ValueError:  # such as a bracket that is not closed
        return False


def _parted(address: str) -> tuple[str, str]:
    """The address alone, and "name:password" if it has them: urllib takes them for a part of the host, and says so."""
    parts = urllib.parse.urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), urllib.parse.unquote(login)


def _authorization(login: str) -> dict[str, str]:
    """As MLflow's own client does it: a token, or a name with a password, before those of the address (`login`)."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        login = f"{name}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}


def _now() -> int:
    return int(time.time() * 1000)
