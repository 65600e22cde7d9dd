"""Subcommands, one module a noun."""
