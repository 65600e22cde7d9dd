"""How often the diagnosis names the cause: faults put into a real Kubernetes API server, and their healthy twins.

`python -m tests.eval` prints the score; `tests/eval/test_eval.py` asserts it.
"""
