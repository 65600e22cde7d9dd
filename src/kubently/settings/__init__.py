"""Settings, read from the environment here and nowhere else."""

from __future__ import annotations

from kubently.settings.api import CLIENT_CERT_HEADERS, ApiSettings
from kubently.settings.audit import AuditSettings
from kubently.settings.continuous import ContinuousSettings
from kubently.settings.executor import ExecutorSettings
from kubently.settings.limits import LimitSettings
from kubently.settings.oidc import OidcSettings
from kubently.settings.process import LogSettings, TimingSettings, TracingSettings
from kubently.settings.store import StoreSettings
from kubently.settings.trust import ACKNOWLEDGED, ProxySettings, TrustSettings
from kubently.settings.variables import Environ, IPNetwork, is_safe_url, process_environ

__all__ = [
    "ACKNOWLEDGED",
    "CLIENT_CERT_HEADERS",
    "ApiSettings",
    "AuditSettings",
    "ContinuousSettings",
    "Environ",
    "ExecutorSettings",
    "IPNetwork",
    "LimitSettings",
    "LogSettings",
    "OidcSettings",
    "ProxySettings",
    "StoreSettings",
    "TimingSettings",
    "TracingSettings",
    "TrustSettings",
    "is_safe_url",
    "process_environ",
]
