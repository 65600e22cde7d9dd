"""The executor, put together: the only place where its parts are made."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from pathlib import Path

import anyio
import yaml
from prometheus_client import REGISTRY

from kubently.errors import ConfigError
from kubently.executor.apiserver import ApiServer
from kubently.executor.app import ExecutorApp
from kubently.executor.credentials import Credentials
from kubently.executor.enrolment import make_credentials
from kubently.executor.explain import Explainer
from kubently.executor.health import HealthApp
from kubently.executor.identity import Identity
from kubently.executor.kubeapi import KubeApi
from kubently.executor.kubectl import Kubectl, find_kubectl
from kubently.executor.native import Native, Roads
from kubently.executor.outcomes import Outcomes
from kubently.executor.proxy import Proxy
from kubently.executor.sandbox import Sandbox
from kubently.executor.supervisor import Supervisor
from kubently.executor.target import from_kubeconfig, in_cluster
from kubently.kube import policy
from kubently.listen import listen
from kubently.schema import parse_cluster_id
from kubently.settings import ExecutorSettings, process_environ
from kubently.trust import watching

log = logging.getLogger(__name__)

DRAIN_GRACE = 45.0


async def run(
    settings: ExecutorSettings, stop: anyio.Event, *, alone: bool = True, drain_grace: float = DRAIN_GRACE
) -> None:
    """Run one executor until *stop* is set; open requests then get *drain_grace* seconds.

    *alone* says that the process is this executor's only: it may then close its /proc entry. Raises ConfigError where
    it must not start.
    """
    parse_cluster_id(settings.cluster_id)
    rules = load_policy(settings.policy_file)
    target = (
        from_kubeconfig(settings.kubeconfig, settings.context) if settings.kubeconfig else in_cluster(process_environ())
    )
    binary, sandbox = find_kubectl(settings.kubectl), Sandbox()
    if settings.require_sandbox and not sandbox.abi:
        raise ConfigError("this kernel offers no Landlock", hint="unset KUBENTLY_REQUIRE_SANDBOX, or use Linux 5.13+")
    if not sandbox.abi:
        log.warning("this kernel offers no Landlock: kubectl runs with this process's file access")
    if alone:
        sandbox.hide_this_process()
    api_server = ApiServer(target)
    kube_api = KubeApi(api_server, rules)
    proxy = Proxy(kube_api)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(api_server.aclose)
        folder = settings.state_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kubently-")))
        kubectl = Kubectl(
            binary=binary,
            proxy=proxy,
            sandbox=sandbox,
            folder=folder,
            max_children=settings.max_children,
            max_output=settings.max_output_bytes,
        )
        native = Native(kube_api, max_output=settings.max_output_bytes)
        outcomes = Outcomes(clock=time.monotonic)
        explainer = Explainer(kube_api, native)
        app = ExecutorApp(kube_api, Roads(native, kubectl), outcomes, explainer, secrets=rules.secrets)
        credentials = make_credentials(settings, api_server)
        supervisor = Supervisor(
            settings,
            app,
            api_server,
            capabilities=_capabilities(settings, sandbox, rules),
            credentials=credentials,
        )
        _watch(supervisor.certificates, settings, credentials)
        exported = watching.Exported(supervisor.certificates)
        REGISTRY.register(exported)
        stack.callback(REGISTRY.unregister, exported)
        await stack.enter_async_context(proxy.serve())
        if settings.health_listen:
            await stack.enter_async_context(listen(HealthApp(supervisor), settings.health_listen))
        async with anyio.create_task_group() as tasks:
            if isinstance(credentials, Identity):
                tasks.start_soon(credentials.run)
            tasks.start_soon(supervisor.run)
            await stop.wait()
            await supervisor.stop(drain_grace)
            tasks.cancel_scope.cancel()


def _watch(certificates: watching.Watched, settings: ExecutorSettings, credentials: Credentials) -> None:
    certificates.add("trusted", lambda: watching.of_trusted(settings.trust))
    if (path := settings.trust.client_cert) is not None:
        certificates.add("client", lambda: watching.of_file(path))
    if isinstance(credentials, Identity):
        certificates.add("identity", lambda: watching.of(*filter(None, [credentials.certificate])))


def _capabilities(settings: ExecutorSettings, sandbox: Sandbox, rules: policy.Policy) -> dict[str, str]:
    verified = "verified" if settings.trust.verify else "unverified"
    return {
        "resume": "yes",
        "sandbox": sandbox.description,
        "secrets": rules.secrets,
        "grants": ",".join(sorted(rules.grants)),
        "tls": verified if settings.api_url.startswith("https") else "none",
    }


def load_policy(path: Path | None) -> policy.Policy:
    """The policy of *path*, or the read-only default without one.

    Raises ConfigError when the file cannot be read or says anything unknown: no policy, no start.
    """
    if path is None:
        return policy.DEFAULT_POLICY
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"the policy {path} cannot be read: {error}", hint="the executor does not start without it"
        ) from error
    return policy.parse_policy(document)
