"""What no token may be."""

EXAMPLES = frozenset({"your-executor-token", "remote-executor-token", "changeme", "token", "secret", "example"})
"""Values that stand in documents; they may be configured and never authenticate."""

MIN_RAW_LENGTH = 16
"""Characters of a token that nobody is warned about."""
