"""Links: how messages travel."""
