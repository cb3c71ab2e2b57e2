"""Promoting and rolling back in an MLflow registry; `from_uri` alone needs the extra `mlflow`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mlguard.arguments import name_of, real, refusal, whole
from mlguard.errors import MissingDependencyError, StateConflict

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MlflowAlias"]

_SHARE = "mlguard.share"
"""The tag of the canary's version that holds its share, for whoever splits the traffic."""


class MlflowAlias:
    """An `Actuator` that moves an alias between two versions of a registered model.

    Thread-safe if the client is: it has no state. Shared through the registry. An alias points to
    one version, so a share in between is written beside it, as the tag `mlguard.share` of the
    canary's version: whoever splits the traffic may read it there, by `standing()`.

    **MLflow has no compare-and-set.** The alias is read, moved and read again. Where it points to
    neither of the two versions, somebody else has moved it, and that is raised and left as it is.
    A move by somebody else *between* our reading and our writing cannot be
    seen and is lost: let only one decider move an alias.

    Args:
        client: An `mlflow.MlflowClient`, or anything with its methods.
        model: Name of the registered model.
        canary: Version that is tried.
        baseline: Version that serves now, and again after a rollback.
        alias: Name of the alias that production loads.

    Raises:
        ConfigurationError: An argument is not of its kind, or the two versions are the same.

    Examples:
        >>> def champion(client):  # mlflow.MlflowClient()
        ...     return MlflowAlias(client, "eta", canary=7, baseline=6)
    """

    __slots__ = ("alias", "baseline", "canary", "client", "model")

    def __init__(
        self,
        client: MlflowClient,
        model: str,
        *,
        canary: int | str,
        baseline: int | str,
        alias: str = "champion",
    ) -> None:
        self.client: Any = client
        self.model = name_of("model", model)
        self.alias = name_of("alias", alias)
        self.canary = _version("canary", canary)
        self.baseline = _version("baseline", baseline)
        if self.canary == self.baseline:
            raise refusal("canary", canary, "another version than the baseline")

    @classmethod
    def from_uri(
        cls,
        uri: str,
        model: str,
        *,
        canary: int | str,
        baseline: int | str,
        alias: str = "champion",
    ) -> Self:
        """Make one for a registry such as "http://mlflow:5000" or "sqlite:///mlflow.db".

        Raises:
            ConfigurationError: An argument is not of its kind.
            MissingDependencyError: MLflow is not installed.
        """
        try:
            from mlflow import MlflowClient  # noqa: PLC0415 -- an extra
        except ImportError as error:
            message = "MlflowAlias.from_uri needs the package mlflow: install the extra `mlflow`"
            raise MissingDependencyError(message) from error
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return cls(client, model, canary=canary, baseline=baseline, alias=alias)

    def set_share(self, share: float) -> None:
        """Write down the share of the canary, and leave the alias where it is.

        Raises:
            ConfigurationError: The share is not between 0 and 1.
            StateConflict: The alias is not at the baseline.
        """
        part = real("share", share)
        if not 0.0 <= part <= 1.0:
            raise refusal("share", share, "between 0 and 1")
        self._at(self.baseline, "give the canary a share")
        self.client.set_model_version_tag(self.model, self.canary, _SHARE, repr(part))

    def promote(self) -> None:
        """Move the alias to the canary.

        Raises:
            StateConflict: Somebody else has moved it, before or just after.
        """
        self._move(self.baseline, self.canary)
        self.client.set_model_version_tag(self.model, self.canary, _SHARE, "1.0")

    def rollback(self) -> None:
        """Take the share back, and the alias too if it is at the canary.

        Raises:
            StateConflict: Somebody else has moved it, before or just after.
        """
        self.client.set_model_version_tag(self.model, self.canary, _SHARE, "0.0")
        self._move(self.canary, self.baseline)

    def standing(self) -> float:
        """Read the share: 1 if the alias is at the canary, else what is written down.

        Raises:
            StateConflict: The alias is at neither of the two versions.
        """
        if self._at(self.baseline, "be read", self.canary) == self.canary:
            return 1.0
        tags = self.client.get_model_version(self.model, self.canary).tags
        return float(tags.get(_SHARE, 0.0))

    def _move(self, old: str, new: str) -> None:
        if self._at(old, f"be moved to {new}", new) != new:
            self.client.set_registered_model_alias(self.model, self.alias, new)
            self._at(new, "stay there")

    def _at(self, version: str, what: str, other: str = "") -> str:
        """Read where the alias is, which must be one of these versions."""
        aliases = self.client.get_registered_model(self.model).aliases
        found = str(aliases.get(self.alias, "none"))
        if found not in {version, other}:
            raise StateConflict(
                f"alias {self.alias} of {self.model} is at version {found}, and must be at "
                f"{version} to {what}: somebody else moved it"
            )
        return found

    def __repr__(self) -> str:
        moved = f"{self.model}@{self.alias} from {self.baseline} to {self.canary}"
        return f"<MlflowAlias {moved}>"


def _version(parameter: str, value: int | str) -> str:
    """Read a version, which MLflow gives as a number here and as a string there."""
    if isinstance(value, str) and value.isdecimal():
        return str(whole(parameter, int(value), least=1))
    return str(whole(parameter, value, least=1))
