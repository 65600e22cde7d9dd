"""What a kubelet reports: images, configuration, processes that end, probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.eval.app import PORT, App, ago, scenario

_WEB = "Deployment.apps {ns}/web"


def _pull(app: App, words: str, *, tag: str = "1.4.3") -> None:
    image = f"registry.example/{app.slug}/web:{tag}"
    app.deployment("web", containers=[app.container("web", image=image)])
    app.service("web")
    failed = ("Failed", f'Failed to pull image "{image}": {words}')
    app.waits("web", "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {words}', events=[failed])


@scenario("image-typo", "pod/image-not-found", _WEB, "1.4.3")
def image_typo(app: App) -> None:
    """The tag does not exist."""
    _pull(app, "rpc error: code = NotFound desc = failed to resolve reference: registry.example/web:1.4.3: not found")


@scenario("image-private", "pod/image-unauthorized", _WEB, "401")
def image_private(app: App) -> None:
    """The registry wants credentials."""
    _pull(app, "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized")


@scenario("registry-dns", "pod/image-registry-unreachable", _WEB, "no such host")
def registry_dns(app: App) -> None:
    """The registry's name does not resolve on the node."""
    _pull(
        app,
        'failed to do request: Head "https://registry.example/v2/": dial tcp: lookup registry.example: no such host',
    )


@scenario("registry-limit", "pod/image-rate-limited", _WEB, "429")
def registry_limit(app: App) -> None:
    """The registry refuses further pulls."""
    _pull(app, "unexpected status code 429 Too Many Requests - toomanyrequests: You have reached your pull rate limit")


@scenario("image-architecture", "pod/image-wrong-architecture", _WEB, "no match for platform")
def image_architecture(app: App) -> None:
    """The image was not built for the nodes' architecture."""
    _pull(
        app,
        "code = NotFound desc = failed to pull and unpack image: no match for platform in manifest: not found",
    )


@scenario("image-name", "pod/image-bad-name", _WEB, "Web:latest")
def image_name(app: App) -> None:
    """The image reference cannot be parsed."""
    image = app.pick("registry.example/Shop/Web:latest", "registry.example/shop/web:latest")
    app.deployment("web", containers=[app.container("web", image=image)])
    why = "couldn't parse image name: invalid reference format: repository name must be lowercase"
    words = f'Failed to apply default image tag "{image}": {why}'
    app.waits("web", "InvalidImageName", words, events=[("InspectFailed", words)])


@scenario("image-never", "pod/image-never-pull", _WEB, "Never")
def image_never(app: App) -> None:
    """The pull policy forbids to fetch an image that is not there."""
    container = app.container("web", imagePullPolicy=app.pick("Never", "IfNotPresent"))
    app.deployment("web", containers=[container])
    words = f'Container image "{container["image"]}" is not present with pull policy of Never'
    app.waits("web", "ErrImageNeverPull", words, events=[("ErrImageNeverPull", words)])


def _config(app: App, source: dict[str, Any], words: str) -> None:
    env = [{"name": "SETTING", "valueFrom": source}]
    app.deployment("web", containers=[app.container("web", env=env)])
    app.waits("web", "CreateContainerConfigError", words, events=[("Failed", f"Error: {words}")])


@scenario("configmap-absent", "pod/config-missing", _WEB, "settings")
def configmap_absent(app: App) -> None:
    """The ConfigMap of a variable does not exist."""
    if not app.broken:
        app.add("v1", "ConfigMap", "settings", data={"mode": "fast"})
    _config(app, {"configMapKeyRef": {"name": "settings", "key": "mode"}}, 'configmap "settings" not found')


@scenario("key-absent", "pod/config-missing", _WEB, "mode")
def key_absent(app: App) -> None:
    """The ConfigMap lacks the key."""
    app.add("v1", "ConfigMap", "settings", data={app.pick("mood", "mode"): "fast"})
    words = f"couldn't find key mode in ConfigMap {app.namespace}/settings"
    _config(app, {"configMapKeyRef": {"name": "settings", "key": "mode"}}, words)


@scenario("key-for-many", "pod/config-missing", "ConfigMap {ns}/settings", "settings", "mode")
def key_for_many(app: App) -> None:
    """Somebody took a key out of a ConfigMap that three Deployments read."""
    app.add("v1", "ConfigMap", "settings", data={"level": "info", "mode": "fast"})
    env = [{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}]
    message = f"couldn't find key mode in ConfigMap {app.namespace}/settings"
    for name in ("web", "api", "worker"):
        app.deployment(name, containers=[app.container(name, env=env)])
        app.service(name)
        app.waits(name, "CreateContainerConfigError", message)
    removed = '[{"op": "remove", "path": "/data/mode"}]'
    app.after("patch", "configmap", "settings", "-n", app.namespace, "--type=json", "-p", removed)


@scenario("secret-absent", "pod/config-missing", _WEB, "database")
def secret_absent(app: App) -> None:
    """The Secret of a variable does not exist."""
    if not app.broken:
        app.add("v1", "Secret", "database", stringData={"url": "none"})
    _config(app, {"secretKeyRef": {"name": "database", "key": "url"}}, 'secret "database" not found')


@scenario("config-volume-absent", "pod/config-missing", _WEB, "nginx-conf")
def config_volume_absent(app: App) -> None:
    """A ConfigMap that is mounted does not exist."""
    if not app.broken:
        app.add("v1", "ConfigMap", "nginx-conf", data={"nginx.conf": ""})
    app.deployment("web", pod={"volumes": [{"name": "conf", "configMap": {"name": "nginx-conf"}}]})
    words = 'MountVolume.SetUp failed for volume "conf" : configmap "nginx-conf" not found'
    app.waits("web", "ContainerCreating", "", events=[("FailedMount", words)])


@scenario("runs-as-root", "pod/container-refused", _WEB, "runAsNonRoot")
def runs_as_root(app: App) -> None:
    """The image runs as root and must not."""
    security = {"runAsNonRoot": True} if app.broken else {}
    app.deployment("web", containers=[app.container("web", securityContext=security)])
    words = "container has runAsNonRoot and image will run as root (pod: web, container: web)"
    app.waits("web", "CreateContainerConfigError", words, events=[("Failed", f"Error: {words}")])


def _process(app: App, code: int, log: str, *, reason: str = "Error", **fields: Any) -> None:
    app.deployment("web", containers=[app.container("web", **fields)])
    app.service("web")
    app.crash("web", code, log, reason=reason)


@scenario("exit-1", "pod/crash-loop", _WEB, "KeyError: 'DATABASE_URL'")
def exit_1(app: App) -> None:
    """A program ends with an exception."""
    log = 'starting\nTraceback (most recent call last):\n  File "/app/main.py", line 12, in <module>\n'
    _process(app, 1, f"{log}    url = os.environ['DATABASE_URL']\nKeyError: 'DATABASE_URL'\n")


@scenario("exit-127", "pod/crash-loop", _WEB, "gunicorn")
def exit_127(app: App) -> None:
    """The shell does not find the program."""
    _process(app, 127, "/entrypoint.sh: line 4: gunicorn: not found\n")


@scenario("exit-139", "pod/crash-loop", _WEB, "139")
def exit_139(app: App) -> None:
    """The program dies by a segmentation fault."""
    _process(app, 139, "loading model\n")


@scenario("java-exception", "pod/crash-loop", _WEB, "Access denied for user")
def java_exception(app: App) -> None:
    """A Java program ends because its database refuses it."""
    log = (
        "INFO  starting ShopApplication\n"
        'Exception in thread "main" java.lang.IllegalStateException: cannot start\n'
        "\tat com.example.Shop.start(Shop.java:42)\n\tat com.example.Main.main(Main.java:7)\n"
        "Caused by: java.sql.SQLException: Access denied for user 'shop'@'10.0.0.7'\n"
        "\tat com.example.Pool.connect(Pool.java:120)\n\t... 2 more\n"
    )
    _process(app, 1, log)


@scenario("address-in-use", "pod/crash-loop", _WEB, "address already in use")
def address_in_use(app: App) -> None:
    """A sidecar has the port that the program wants."""
    containers = [app.container("web"), app.container("proxy", ports=[{"containerPort": 15001}])]
    app.deployment("web", containers=containers)
    app.crash("web", 1, "listen tcp :8080: bind: address already in use\n", container="web")


@scenario("out-of-memory", "pod/oom-killed", _WEB, "64Mi")
def out_of_memory(app: App) -> None:
    """The kernel ends the container at its memory limit."""
    limit = app.pick("64Mi", "512Mi")
    _process(app, 137, "loading cache\n", reason="OOMKilled", resources={"limits": {"memory": limit}})


@scenario("command-absent", "pod/start-failed", _WEB, "/app/server")
def command_absent(app: App) -> None:
    """The command does not exist in the image."""
    app.deployment("web", containers=[app.container("web", command=["/app/server"])])
    words = 'failed to create containerd task: exec: "/app/server": stat /app/server: no such file or directory'
    ended = {"exitCode": 128, "reason": "StartError", "message": words, "startedAt": ago(80), "finishedAt": ago(80)}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}
    app.report("web", state=waiting, last={"terminated": ended}, restarts=3, events=[("Failed", f"Error: {words}")])


@scenario("init-fails", "pod/crash-loop", _WEB, 'relation "users" does not exist')
def init_fails(app: App) -> None:
    """An init container fails, so the others never start."""
    app.deployment("web", pod={"initContainers": [app.container("migrate", ports=None)]})
    app.crash("web", 1, 'ERROR: relation "users" does not exist\n', container="migrate", init=True)


def _killed(app: App, events: Sequence[tuple[str, str]], **probes: Any) -> None:
    app.deployment("web", containers=[app.container("web", **probes)])
    app.service("web")
    ended = {"exitCode": 143, "reason": "Error", "startedAt": ago(100), "finishedAt": ago(70)}
    running = {"running": {"startedAt": ago(69)}}
    app.report("web", state=running, last={"terminated": ended}, restarts=9, events=events, log="listening on :8080\n")


@scenario("liveness-port", "pod/liveness-kills", _WEB, "8081")
def liveness_port(app: App) -> None:
    """The liveness probe asks a port on which nothing listens, and so ends a healthy program."""
    unhealthy = (
        "Unhealthy",
        'Liveness probe failed: Get "http://10.0.0.4:8081/live": dial tcp 10.0.0.4:8081: connect: connection refused',
    )
    killing = ("Killing", "Container web failed liveness probe, will be restarted")
    probe = {"httpGet": {"path": "/live", "port": app.pick(8081, PORT)}}
    _killed(app, [unhealthy, killing], livenessProbe=probe)


@scenario("startup-short", "pod/startup-kills", _WEB, "startup")
def startup_short(app: App) -> None:
    """The startup probe gives up before the program has started."""
    unhealthy = ("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503")
    killing = ("Killing", "Container web failed startup probe, will be restarted")
    probe = {"httpGet": {"path": "/started", "port": PORT}, "failureThreshold": app.pick(2, 60), "periodSeconds": 5}
    _killed(app, [unhealthy, killing], startupProbe=probe)


@scenario("sandbox", "pod/sandbox-failed", _WEB, "no available IP addresses")
def sandbox(app: App) -> None:
    """The network plugin has no address left for the pod."""
    app.deployment("web")
    words = (
        'Failed to create pod sandbox: plugin type="host-local" failed (add): no available IP addresses in range set'
    )
    app.waits("web", "ContainerCreating", "", events=[("FailedCreatePodSandBox", words)])


@scenario("bad-rollout", "pod/image-not-found", _WEB, "2.0.0")
def bad_rollout(app: App) -> None:
    """A rollout that may take all pods down at once brings an image that does not exist."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}
    app.deployment(
        "web",
        strategy=strategy,
        containers=[app.container("web", image=f"registry.example/web:{app.pick('2.0.0', '1.9.9')}")],
    )
    app.service("web")
    app.ingress("web", "web")
    words = "rpc error: code = NotFound desc = registry.example/web:2.0.0: not found"
    app.waits(
        "web", "ErrImagePull", words, events=[("Failed", f'Failed to pull image "registry.example/web:2.0.0": {words}')]
    )
