"""Claims and volumes."""

from __future__ import annotations

from tests.eval.app import App, scenario

_DATA = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]


def _database(app: App, **pod: object) -> None:
    app.deployment("db", replicas=1, pod={"volumes": _DATA, **pod})


@scenario("class-absent", "pvc/class-missing", "PersistentVolumeClaim {ns}/data", "premium-ssd")
def class_absent(app: App) -> None:
    """A claim names a class that does not exist."""
    if not app.broken:
        app.volume("disk", claimRef=app.bind("data"))
    app.claim("data", storageClassName=app.pick("premium-ssd", ""))
    _database(app)


@scenario("volume-too-small", "pvc/no-matching-volume", "PersistentVolumeClaim {ns}/data", "too small")
def volume_too_small(app: App) -> None:
    """The only volume that the claim selects is too small."""
    app.volume("disk", labels={"disk": app.namespace})
    app.claim(
        "data",
        resources={"requests": {"storage": app.pick("100Gi", "1Gi")}},
        selector={"matchLabels": {"disk": app.namespace}},
    )
    _database(app)


@scenario("access-mode", "pvc/no-matching-volume", "PersistentVolumeClaim {ns}/data", "ReadWriteMany")
def access_mode(app: App) -> None:
    """The volume offers another access mode."""
    app.volume("disk", labels={"disk": app.namespace})
    mode = app.pick("ReadWriteMany", "ReadWriteOnce")
    app.claim("data", accessModes=[mode], selector={"matchLabels": {"disk": app.namespace}})
    _database(app)


@scenario("volume-selector", "pvc/no-matching-volume", "PersistentVolumeClaim {ns}/data", "selector")
def volume_selector(app: App) -> None:
    """The claim's selector fits no volume."""
    app.volume("disk", labels={"tier": app.namespace})
    app.claim("data", selector={"matchLabels": {"tier": app.pick(f"{app.namespace}-gold", app.namespace)}})
    _database(app)


@scenario("volume-taken", "pvc/no-matching-volume", "PersistentVolumeClaim {ns}/data", "other")
def volume_taken(app: App) -> None:
    """The volume that the claim names is bound to another claim."""
    name = app.volume("disk", claimRef=app.bind(app.pick("other", "data")))
    if app.broken:
        app.claim("other", volumeName=name)
    app.claim("data", volumeName=name)
    _database(app)


@scenario("claim-absent", "pod/claim-missing", "Deployment.apps {ns}/db", "data")
def claim_absent(app: App) -> None:
    """The Deployment mounts a claim that nobody made."""
    app.volume("disk", claimRef=app.bind("data"))
    if not app.broken:
        app.claim("data")
    _database(app)


@scenario("volume-elsewhere", "pvc/node-gone", "PersistentVolumeClaim {ns}/data", "nowhere-1")
def volume_elsewhere(app: App) -> None:
    """The bound volume lies in a zone in which the pod may not run."""
    zone = app.pick("nowhere-1", "simulated")
    term = {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}
    app.volume("disk", claimRef=app.bind("data"), nodeAffinity={"required": {"nodeSelectorTerms": [term]}})
    app.claim("data")
    _database(app)


@scenario("waits-for-pod", "pod/unschedulable", "Deployment.apps {ns}/db", "archived")
def waits_for_pod(app: App) -> None:
    """A claim waits for its first consumer, which no node takes: the claim is only a symptom."""
    local = app.add_to_cluster(
        "storage.k8s.io/v1",
        "StorageClass",
        "local",
        provisioner="kubernetes.io/no-provisioner",
        volumeBindingMode="WaitForFirstConsumer",
    )
    term = {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["simulated"]}]}
    app.volume("disk", storageClassName=local, nodeAffinity={"required": {"nodeSelectorTerms": [term]}})
    app.claim("data", storageClassName=local)
    _database(app, nodeSelector=app.pick({"tier": "archived"}, {"kubernetes.io/os": "linux"}))


@scenario("no-provisioner", "pvc/provisioner-silent", "PersistentVolumeClaim {ns}/data", "csi.example.com")
def no_provisioner(app: App) -> None:
    """The class's provisioner does not run, so nothing ever answers the claim."""
    remote = app.add_to_cluster("storage.k8s.io/v1", "StorageClass", "remote", provisioner="csi.example.com")
    if not app.broken:
        app.volume("disk", storageClassName=remote, claimRef=app.bind("data"))
    app.claim("data", storageClassName=remote)
    _database(app)


@scenario("volume-lost", "pvc/lost", "PersistentVolumeClaim {ns}/data", "disk")
def volume_lost(app: App) -> None:
    """The volume of a bound claim was deleted."""
    name = app.volume("disk", claimRef=app.bind("data"))
    app.claim("data", volumeName=name)
    _database(app)
    app.after("delete", "pv", name, "--wait=false")
    app.after("patch", "pv", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


@scenario("mount-fails", "pod/mount-failed", "Deployment.apps {ns}/db", "permission denied")
def mount_fails(app: App) -> None:
    """The kubelet cannot mount an NFS volume."""
    app.volume("share", claimRef=app.bind("data"), hostPath=None, nfs={"server": "nfs.example", "path": "/export"})
    app.claim("data")
    _database(app)
    why = "mount failed: exit status 32: mount.nfs: access denied, permission denied"
    words = f'MountVolume.SetUp failed for volume "share" : {why}'
    app.waits("db", "ContainerCreating", "", events=[("FailedMount", words)])


@scenario("attached-elsewhere", "pod/volume-attached-elsewhere", "Deployment.apps {ns}/db", "Multi-Attach")
def attached_elsewhere(app: App) -> None:
    """A disk that one node may attach at a time is still attached to another."""
    app.volume("disk", claimRef=app.bind("data"))
    app.claim("data")
    _database(app)
    why = "Volume is already exclusively attached to one node and can't be attached to another"
    words = f'Multi-Attach error for volume "pvc-7" {why}'
    app.waits("db", "ContainerCreating", "", events=[("FailedAttachVolume", words)])
