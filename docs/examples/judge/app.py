"""The judge of rollouts over HTTP: workers report to it, Argo Rollouts and Flagger ask it.

argo.yaml and flagger.yaml beside it show how they do. It is plain WSGI: any server takes `app(…)`.
Keep it inside the cluster: whoever reaches it can report.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mlguard import ConfigurationError, Guardrail, RollbackEngine, RollbackPlan
from mlguard.integrations.judges import to_argo, to_flagger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Answer = tuple[int, str]

LONGEST = 64 * 1024
"""Bytes of a report that are read."""

PLAN = RollbackPlan(
    "external",  # Argo or Flagger ramps, and we judge at whatever share there is
    guardrails=[Guardrail("errors", margin=2.0), Guardrail("slow", margin=1.5)],
    bake=600,
)


def app(rollouts: Mapping[str, RollbackEngine]) -> Callable[..., Iterable[bytes]]:
    """Make the WSGI app.

    - POST /observe/eta/canary with {"source", "seq", "requests", "events"}: what a worker counted
    - GET /argo/eta?version=7: the web provider of an AnalysisTemplate
    - POST /flagger/eta/rollback: a webhook of Flagger, its type at the end

    Args:
        rollouts: The engine of each service that is being rolled out.
    """

    def serve(environ: Mapping[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        try:
            code, text = answer(rollouts, environ)
        except (ConfigurationError, TypeError, ValueError) as error:
            code, text = HTTPStatus.BAD_REQUEST, str(error)
        kind = "application/json" if text.startswith("{") else "text/plain; charset=utf-8"
        start(f"{code} {HTTPStatus(code).phrase}", [("Content-Type", kind)])
        return [text.encode()]

    return serve


def answer(rollouts: Mapping[str, RollbackEngine], environ: Mapping[str, Any]) -> Answer:
    """Answer one request."""
    match environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/").split("/"):
        case "POST", ["observe", service, "canary" | "baseline" as arm] if service in rollouts:
            report = json.loads(environ["wsgi.input"].read(length(environ)))
            rollouts[service].observe(arm, **report)
            return HTTPStatus.OK, "counted"
        case "GET", ["argo", service] if service in rollouts:
            version = parse_qs(environ.get("QUERY_STRING", "")).get("version", [""])[0]
            engine = rollouts[service]
            if version and version != engine.subject.get("version"):
                return HTTPStatus.NOT_FOUND, f"version {version} of {service} is not judged here"
            return HTTPStatus.OK, json.dumps(to_argo(engine.decide()))
        case "POST", [
            "flagger",
            service,
            "confirm-traffic-increase" | "confirm-promotion" | "rollback" as hook,
        ] if service in rollouts:
            return to_flagger(rollouts[service].decide(), hook)
        case _:
            return HTTPStatus.NOT_FOUND, "nothing is judged here"


def length(environ: Mapping[str, Any]) -> int:
    """Read how long the report is, up to what is read."""
    return min(int(environ.get("CONTENT_LENGTH") or 0), LONGEST)
