"""The executor's metrics."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTED = Gauge("kubently_executor_connected", "1 while a session to the API stands")
DIALS = Counter(
    "kubently_executor_dials",
    "Attempts to connect to the API by result (ok, refused, proxy, failed), road (direct or proxy) and, where it "
    "succeeded, transport (websocket or long-poll)",
    ["result", "road", "transport"],
)
SESSIONS = Gauge("kubently_executor_sessions", "Sessions to the API that stand, by transport", ["transport"])
CUTS = Counter("kubently_executor_cuts", "Sessions that were lost on the way, closed by neither end")
COMMANDS = Counter("kubently_executor_commands", "Commands by how they were answered: native or kubectl", ["road"])
API_SERVER_SECONDS = Histogram(
    "kubently_executor_apiserver_response_start_seconds",
    "Seconds until the cluster's API server began to answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
API_SERVER_FAILURES = Counter(
    "kubently_executor_apiserver_failures", "Requests that the cluster's API server did not answer"
)
TLS_UNVERIFIED = Gauge("kubently_executor_tls_unverified", "1 where the API's certificate is not verified")
TRUST_RELOAD_FAILURES = Counter(
    "kubently_trust_reload_failures", "Changes of CAs or client certificate that could not be used; the old ones stay"
)
