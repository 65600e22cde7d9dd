"""Which clusters are diagnosed continuously: none, all, or those with certain labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubently.errors import ConfigError
from kubently.kube import objects


@dataclass(frozen=True, slots=True)
class Chosen:
    """What ``KUBENTLY_CONTINUOUS`` says; without a selector none."""

    selector: objects.Selector | None

    @classmethod
    def parse(cls, text: str) -> Chosen:
        """Read off, all, or a label selector. Raises ConfigError."""
        if text in ("", "off"):
            return cls(None)
        try:
            return cls(objects.parse_selector("" if text == "all" else text))
        except ValueError as error:
            raise ConfigError(
                f"KUBENTLY_CONTINUOUS={text!r} cannot be used: {error}",
                hint="use off, all, or a label selector such as env=prod",
            ) from error

    @property
    def is_off(self) -> bool:
        """Whether no cluster can be meant."""
        return self.selector is None

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether a cluster with these labels is meant."""
        return self.selector is not None and self.selector.matches(labels)
