"""The short form: a handful of keys beside those of a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mlguard.arguments import refusal
from mlguard.requirements.mistakes import among, spelled

if TYPE_CHECKING:
    from mlguard.requirements.mistakes import Path

KEYS = (
    *("service", "replicas", "resources", "rollback_on_error"),
    *("drift_alert_threshold", "drift_metric", "cost_alert_per_day", "currency"),
)
_TELLING = {"rollback_on_error", "drift_alert_threshold", "cost_alert_per_day"}


class Reading(NamedTuple):
    """How a flat form is read.

    Attributes:
        document: In the full form.
        origins: Of paths in it, the key that they come from.
        notes: What each key is taken for.
    """

    document: dict[str, Any]
    origins: dict[Path, str]
    notes: tuple[str, ...]

    def mistakes(
        self, given: Mapping[str, Any], found: Iterable[tuple[Path, str]]
    ) -> list[tuple[Path, str]]:
        """Tell of mistakes by the keys that were given."""
        told: dict[Path, str] = {
            (key,): str(refusal(str(key), value, f"under {among(key, KEYS)}"))
            for key, value in given.items()
            if key not in KEYS
        }
        for path, says in found:
            key = self.origins.get(path, spelled(path))
            told.setdefault((key,), says.replace(spelled(path), key, 1))
        return list(told.items())


def is_flat(document: object) -> bool:
    """Tell the short form by its keys."""
    return (
        isinstance(document, Mapping)
        and "version" not in document
        and not _TELLING.isdisjoint(document)
    )


def reading(given: Mapping[str, Any]) -> Reading:
    """Read the short form as the full one.

    Examples:
        >>> found = reading({"drift_alert_threshold": 0.05})
        >>> found.document["drift"]
        {'metric': 'psi', 'tolerance': 0.05, 'breach': 0.05}
    """
    document: dict[str, Any] = {"version": 1, "service": given.get("service", "service")}
    origins: dict[Path, str] = {}
    notes: list[str] = []
    responses: list[dict[str, Any]] = []
    if "rollback_on_error" in given:
        on = given["rollback_on_error"]
        origins["rollout", "rollback_on_error"] = "rollback_on_error"
        if on is not False:
            document["rollout"] = {"rollback_on_error": on}
        meant = "a canary with more errors than the baseline is rolled back" if on else "no rollout"
        notes.append(f"rollback_on_error: {on!r} is read as: {meant}")
    if "drift_alert_threshold" in given:
        limit, metric = given["drift_alert_threshold"], given.get("drift_metric", "psi")
        document["drift"] = {"metric": metric, "tolerance": limit, "breach": limit}
        origins["drift", "metric"] = "drift_metric"
        origins["drift", "tolerance"] = origins["drift", "breach"] = "drift_alert_threshold"
        responses.append({"when": "drift", "do": "alert"})
        meant = f"alert beyond a {metric} of {limit!r}"
        notes.append(f"drift_alert_threshold: {limit!r} is read as: {meant}")
    if "cost_alert_per_day" in given:
        amount = given["cost_alert_per_day"]
        cap = _money(amount, given.get("currency", "USD"))
        document["cost"] = {"cap": cap, "window": "day"}
        origins["cost", "cap"] = "cost_alert_per_day"
        responses.append({"when": "cost", "do": "alert"})
        meant = f"alert at {cap} in a day of UTC, and spend no more"
        notes.append(f"cost_alert_per_day: {amount!r} is read as: {meant}")
    if responses:
        document["respond"] = responses
    kept = [key for key in ("replicas", "resources") if key in given]
    notes += [f"{key}: read by nobody here, it is the deployment's" for key in kept]
    return Reading(document, origins, tuple(notes))


def _money(amount: object, currency: object) -> object:
    if isinstance(amount, int | float) and not isinstance(amount, bool):
        return f"{amount} {currency}"
    return amount
