"""The control plane: edge and composition root."""

from kubently.api.program import Serving, run, serve

__all__ = ["Serving", "run", "serve"]
