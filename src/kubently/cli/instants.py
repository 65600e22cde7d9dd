"""Instants on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """ISO 8601 with a zone, UTC without one; from a time, or from how long ago: 90m, 2d."""
    if value is None:
        return None
    if match := re.fullmatch(r"(\d{1,6})([smhd])", value):
        return (datetime.now(UTC) - timedelta(seconds=int(match[1]) * _UNITS[match[2]])).isoformat()
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        message = f"{value!r} is no time: 2026-01-31T12:00:00Z, or 2h for two hours ago"
        raise click.BadParameter(message, ctx, parameter) from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).isoformat()
