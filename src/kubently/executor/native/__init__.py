"""Reads without a fork: `get` and `logs` answered over the pooled connections to the API server.

What is printed is what kubectl prints, byte for byte; whatever is not surely so is left to kubectl, before anything
was printed. `plan` says what is asked, `get` and `logs` ask it, the others print.
"""

from kubently.executor.native.roads import Native, Roads

__all__ = ["Native", "Roads"]
