"""Real Kubernetes control planes as plain processes: built once from pinned Go modules, started by tests in seconds."""
