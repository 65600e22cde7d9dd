"""What people put in front of an API, run for real: nginx, Envoy, HAProxy, Caddy, and OpenSSL's own server."""
