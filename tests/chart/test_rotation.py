"""Changing the certificate: as the guide's `kubectl patch ingress` does it, and our two ways; each with what the next
`helm upgrade` makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart import cases
from tests.testbed import helm, pki, releases
from tests.testbed.cluster import Cluster

CASE = cases.named("guide-scenario-3-api")
HOST = "api.kubently.example.com"
PATCH = '{"spec":{"tls":[{"secretName":"kubently-api-tls-new"}]}}'


@dataclass(frozen=True)
class Installed:
    """Scenario 3's API, with the Secret that cert-manager would have written."""

    release: releases.Release
    folder: Path

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.release.cluster.kubectl(*words, "-n", self.release.namespace, stdin=stdin).stdout

    def upgrade(self, *more: str) -> None:
        self.release.upgrade({}, *more, files=[CASE.path])

    def served(self) -> list[dict[str, Any]]:
        """What the Ingress says about TLS."""
        tls: list[dict[str, Any]] = self.release.get("ingress", "kubently")["spec"]["tls"]
        return tls

    def files(self) -> tuple[str, str]:
        """Options for a new certificate and its key."""
        cert, key = pki.Authority("new CA").issue("api", names=[HOST])
        pki.write(self.folder / "new.crt", cert)
        pki.write(self.folder / "new.key", key)
        return f"--cert={self.folder}/new.crt", f"--key={self.folder}/new.key"


@pytest.fixture
def installed(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installed]:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60].strip("-")
    with releases.namespace(cluster, name) as space:
        made = Installed(releases.Release(cluster, CASE.release, space), tmp_path)
        made.kubectl("create", "secret", "tls", "kubently-api-tls", *made.files())
        made.release.install({}, files=[CASE.path])
        yield made


def test_patch_of_the_guide_takes_the_field_from_helm(installed: Installed) -> None:
    """The two commands of the guide, verbatim but for where the files are."""
    installed.kubectl("create", "secret", "tls", "kubently-api-tls-new", *installed.files())
    installed.kubectl("patch", "ingress", "kubently", "-p", PATCH)

    # It serves the new certificate; that the list of hosts is gone, nobody asked for.
    assert installed.served() == [{"secretName": "kubently-api-tls-new"}]
    # And every upgrade from now on is refused,
    with pytest.raises(helm.HelmError, match=r'conflict with "kubectl-patch".*\.spec\.tls'):
        installed.upgrade()
    assert installed.served() == [{"secretName": "kubently-api-tls-new"}]
    # until Helm is told to take the field back, which serves the old certificate again.
    installed.upgrade("--force-conflicts")
    assert installed.served() == [{"hosts": [HOST], "secretName": "kubently-api-tls"}]


def test_secret_in_place_is_no_business_of_helm(installed: Installed) -> None:
    before = installed.release.secret("kubently-api-tls")
    made = installed.kubectl(
        "create", "secret", "tls", "kubently-api-tls", *installed.files(), "--dry-run=client", "-o", "json"
    )
    # replace, not apply: this Secret was created without the annotation that apply wants.
    installed.kubectl("replace", "-f", "-", stdin=made)
    after = installed.release.secret("kubently-api-tls")

    installed.upgrade()

    assert before != after == installed.release.secret("kubently-api-tls")
    assert installed.served() == [{"hosts": [HOST], "secretName": "kubently-api-tls"}]


def test_existing_secret_changes_by_an_upgrade_and_back_by_a_rollback(installed: Installed) -> None:
    installed.kubectl("create", "secret", "tls", "kubently-api-tls-new", *installed.files())

    installed.upgrade("--set", "tls.existingSecret=kubently-api-tls-new")

    assert installed.served() == [{"hosts": [HOST], "secretName": "kubently-api-tls-new"}]
    assert installed.release.get("certificates.cert-manager.io") == []
    installed.upgrade("--set", "tls.existingSecret=kubently-api-tls-new")
    assert installed.served() == [{"hosts": [HOST], "secretName": "kubently-api-tls-new"}]

    installed.release.rollback(1)

    assert installed.served() == [{"hosts": [HOST], "secretName": "kubently-api-tls"}]
    assert len(installed.release.get("certificates.cert-manager.io")) == 1


def test_one_upgrade_mends_a_patched_ingress_for_good(installed: Installed) -> None:
    """For those who did as the guide says: name the Secret in values, and take the field back in the same upgrade."""
    installed.kubectl("create", "secret", "tls", "kubently-api-tls-new", *installed.files())
    installed.kubectl("patch", "ingress", "kubently", "-p", PATCH)
    named = ("--set", "tls.existingSecret=kubently-api-tls-new")

    installed.upgrade(*named, "--force-conflicts")
    installed.upgrade(*named)

    assert installed.served() == [{"hosts": [HOST], "secretName": "kubently-api-tls-new"}]
