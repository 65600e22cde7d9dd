"""The chart judged by real tools, and installed into a real API server."""
