"""Two ends of a tunnel without a tunnel."""

from __future__ import annotations

from kubently import wire


def connected_pair(
    *, window: int = wire.DEFAULT_WINDOW, max_streams: int = wire.DEFAULT_MAX_STREAMS
) -> tuple[wire.Connection, wire.Connection]:
    """Make a control and an executor connection that have exchanged their SETTINGS."""
    control = wire.Connection(wire.Role.CONTROL, window=window)
    executor = wire.Connection(wire.Role.EXECUTOR, window=window, max_streams=max_streams)
    deliver(control, executor)
    deliver(executor, control)
    return control, executor


def deliver(source: wire.Connection, target: wire.Connection, budget: int | None = None) -> list[wire.Event]:
    """Carry what *source* has to send to *target* and return the events."""
    return [event for frame in source.frames_to_send(budget) for event in target.receive_frame(frame)]
