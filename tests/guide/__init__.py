"""Each numbered statement of the deployment guide that people know, and a test that bears its number."""
