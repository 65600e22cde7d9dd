from __future__ import annotations

import pytest

from kubently.archive import catalog, selectors
from kubently.archive.answers import RefusedError

from .samples import container_status, pod, thing

BY_NAME = {item.qualified: item for item in catalog.BUILTIN}
PODS = BY_NAME["pods"]
WEB = pod("web", labels={"app": "web", "tier": "front", "weight": "7"}, podIP="10.1.2.3")


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app!=web", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("app in (db,web)", True),
        ("app notin (db,web)", False),
        ("missing notin (a)", True),
        ("weight>6", True),
        ("weight<7", False),
        ("app=web,tier=back", False),
        ("app = web , tier in ( front )", True),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert selectors.parse(PODS, selector, "").matches(WEB) is matches


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=web", True),
        ("metadata.name==web", True),
        ("metadata.name!=web", False),
        ("metadata.namespace=shop,status.phase=Running", True),
        ("metadata.namespace=shop,status.phase!=Running", False),
        ("spec.nodeName=n1", True),
        ("spec.nodeName=", False),
        ("status.podIP=10.1.2.3", True),
        ("status.nominatedNodeName=", True),
        ("spec.hostNetwork=false", True),
        (",metadata.name=web,", True),
        (r"metadata.name=w\,eb", False),
        (r"metadata.name=w\\eb", False),
    ],
)
def test_field_selectors(selector: str, matches: bool) -> None:
    assert selectors.parse(PODS, "", selector).matches(WEB) is matches


@pytest.mark.parametrize(
    ("resource", "selector", "item"),
    [
        ("nodes", "spec.unschedulable=true", thing("Node", "n", spec={"unschedulable": True})),
        ("nodes", "spec.unschedulable=false", thing("Node", "n")),
        ("jobs.batch", "status.successful=2", thing("Job", "j", "a", status={"succeeded": 2})),
        ("services", "spec.type=ClusterIP", thing("Service", "s", "a", spec={"type": "ClusterIP"})),
        ("replicationcontrollers", "status.replicas=0", thing("ReplicationController", "r", "a")),
        ("events", "source=kubelet", thing("Event", "e", "a", source={"component": "kubelet"})),
        ("events", "source=sched", thing("Event", "e", "a", source={}, reportingComponent="sched")),
        ("events", "involvedObject.name=x,type!=Normal", thing("Event", "e", "a", involvedObject={"name": "x"})),
        ("events.events.k8s.io", "regarding.kind=Pod", thing("Event", "e", "a", regarding={"kind": "Pod"})),
    ],
)
def test_fields_of_other_types(resource: str, selector: str, item: dict[str, object]) -> None:
    assert selectors.parse(BY_NAME[resource], "", selector).matches(item)


@pytest.mark.parametrize(
    ("resource", "labels", "fields", "message"),
    [
        ("pods", "", "a.b=c", "field label not supported: a.b"),
        ("deployments.apps", "", "spec.x=1", '"spec.x" is not a known field selector: only "metadata.name", "metadata'),
        ("jobs.batch", "", "status.x=1", 'field label "status.x" not supported for Job'),
        ("pods", "", "foo", "invalid selector: 'foo'; can't understand 'foo'"),
        ("pods", "", r"metadata.name=a\b", "invalid escape"),
        ("pods", "a in b", "", "unable to parse requirement"),
        ("pods", "a=b,", "", "unable to parse requirement"),
        ("pods", "a in (b", "", "unable to parse requirement"),
    ],
)
def test_selectors_that_are_refused(resource: str, labels: str, fields: str, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        selectors.parse(BY_NAME[resource], labels, fields)

    assert refused.value.code == 400
    assert message in refused.value.message


def test_custom_resources_choose_their_fields() -> None:
    widget = catalog.Resource(
        "example.com", "v1", "widgets", "Widget", True, "widget", custom=True, selectable_fields=("spec.color",)
    )
    red = thing("Widget", "w", "a", api_version="example.com/v1", spec={"color": "red"})

    assert selectors.parse(widget, "", "spec.color=red,metadata.name=w").matches(red)
    with pytest.raises(RefusedError, match=r"field label not supported: spec\.size"):
        selectors.parse(widget, "", "spec.size=1")


def test_objects_without_labels_or_status_do_not_break() -> None:
    selection = selectors.parse(PODS, "!app", "status.podIP=")

    assert selection.matches({"metadata": {"labels": None}, "status": [container_status()]})
