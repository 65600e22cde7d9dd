"""What ``kubently cluster add`` prints is what one can run."""

from __future__ import annotations

import json
import shlex

from kubently.cli.commands import cluster


def test_the_helm_command_names_what_the_secret_is() -> None:
    argv = cluster._helm(
        "prod", namespace="ns", release="rel", api_url="https://api.example.com", chart="./chart", ca="/etc/ca.crt"
    )
    secret = cluster._secret("ket_prod_x", "ns", "rel-enrolment")

    assert argv[:5] == ["helm", "upgrade", "--install", "rel", "./chart"]
    assert "executor.enrolment.existingSecret=rel-enrolment" in argv
    assert argv[-2:] == ["--set-file", "executor.tls.caBundle.pem=/etc/ca.crt"]
    assert json.loads(json.dumps(secret))["metadata"] == {"name": "rel-enrolment", "namespace": "ns"}
    assert "ket_prod_x" not in shlex.join(argv)
