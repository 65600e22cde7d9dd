"""What must be refused, written down a second time.

`requests` reads raw HTTP requests by the rules that Kubernetes documents for its authorizers, `commands` reads argument
lists by the grammar of kubectl's flag library. Neither imports anything of Kubently. `raw` and `argvs` make up both
from a seed, `gate` asks Kubently, and `checks` compares.
"""
