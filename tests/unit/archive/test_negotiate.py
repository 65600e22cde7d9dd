from __future__ import annotations

import pytest

from kubently.archive import negotiate
from kubently.archive.answers import RefusedError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "kind", "version"),
    [
        ("", "", "v1"),
        ("*/*", "", "v1"),
        ("application/json", "", "v1"),
        ("application/json;stream=watch", "", "v1"),
        ("application/vnd.kubernetes.protobuf,application/json", "", "v1"),
        (TABLE, "Table", "v1"),
        (f"{TABLE},application/json", "Table", "v1"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "Table", "v1beta1"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "", "v1"),
        ("application/json;as=Nope;v=v1;g=meta.k8s.io, application/json", "", "v1"),
        (f"application/json;q=0.5, {TABLE};q=0.9", "Table", "v1"),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata", "v1"),
        ("Application/JSON; q=nonsense", "", "v1"),
    ],
)
def test_the_first_servable_form_wins(accept: str, kind: str, version: str) -> None:
    form = negotiate.form(accept)

    assert (form.kind, form.version) == (kind, version)


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf",
        "text/html",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "application/json;as=Table;v=v1;g=other.io",
    ],
)
def test_nothing_servable_is_406(accept: str) -> None:
    with pytest.raises(RefusedError) as refused:
        negotiate.form(accept)

    assert refused.value.code == 406


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json", "v2"),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", "v2beta1"),
        ("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json", ""),
        ("application/json", ""),
        ("", ""),
        ("application/vnd.kubernetes.protobuf", ""),
    ],
)
def test_aggregated_discovery(accept: str, version: str) -> None:
    assert negotiate.discovery_version(accept) == version
