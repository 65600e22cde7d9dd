"""Which road a command takes: natively where that is surely the same, else by a kubectl child."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

import anyio

from kubently.executor import metrics
from kubently.executor.apiserver import UpstreamError
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.executor.kubectl import Kubectl
from kubently.executor.native import get, logs
from kubently.executor.native.asking import Asker, Budget, Held
from kubently.executor.native.discovery import Discovery
from kubently.executor.native.get import Printed
from kubently.executor.native.logs import plan_logs
from kubently.executor.native.plan import GetOptions, GetPlan, options_of, plan_get
from kubently.executor.native.resources import Resource, ResourceTable, UnknownResource
from kubently.executor.native.unsure import Unsure
from kubently.executor.output import Emit, Output
from kubently.kube.kubectl import KubectlCommand
from kubently.schema import Ending
from kubently.wire import records

log = logging.getLogger(__name__)

_MAX_HELD = 8 * 1024 * 1024
_MAX_HELD_TOGETHER = 24 * 1024 * 1024
"""Bytes of answers held by one native command, and by all; read into objects they take several times as much."""
_RECORD = 256 * 1024


class Native:
    """Runs those commands that it knows exactly."""

    def __init__(self, kube_api: KubeApi, *, max_output: int) -> None:
        self._kube_api = kube_api
        self._max_output = max_output
        self._budget = Budget(_MAX_HELD_TOGETHER)
        self._discovery = Discovery(clock=time.monotonic)

    async def run(self, command: KubectlCommand, *, timeout: float, caller: Caller, emit: Emit) -> bytes:
        """Run *command* as `Kubectl.run` does. Raises Unsure before anything was given to *emit*."""
        output = Output(emit, limit=self._max_output)
        ending, exit_code = Ending.TIMED_OUT, None
        with anyio.move_on_after(timeout), self._held() as held:
            exit_code = await self._answer(command, Asker(self._kube_api, caller, held), output)
            ending = Ending.EXITED
        return await output.end(ending, exit_code, timeout=timeout)

    async def find_resource(self, word: str, caller: Caller) -> Resource | None:
        """What kubectl takes *word* for; None where the cluster has no such type, or discovery does not say."""
        with self._held() as held:
            ask = Asker(self._kube_api, caller, held)
            try:
                table = await self._discovery.table(ask)
                try:
                    return table.find(word)
                except UnknownResource:
                    return (await self._discovery.table(ask, newer_than=table)).find(word)
            except (Unsure, UpstreamError):
                return None

    async def _answer(self, command: KubectlCommand, ask: Asker, output: Output) -> int:
        try:
            match command.verb:
                case "get":
                    options = options_of(command)
                    plan, table = await self._plan(command, options, ask)
                    return await _print(await get.run(plan, table, ask), output)
                case "logs":
                    return await logs.run(plan_logs(command), ask, output.write)
                case _:
                    raise Unsure("another verb")
        except UpstreamError as error:
            raise Unsure(str(error)) from error

    async def _plan(self, command: KubectlCommand, options: GetOptions, ask: Asker) -> tuple[GetPlan, ResourceTable]:
        table = await self._discovery.table(ask)
        try:
            return plan_get(command, options, table), table
        except UnknownResource:
            table = await self._discovery.table(ask, newer_than=table)
            return plan_get(command, options, table), table

    @contextlib.contextmanager
    def _held(self) -> Iterator[Held]:
        held = Held(self._budget, _MAX_HELD)
        try:
            yield held
        finally:
            held.close()


class Roads:
    """The native road and kubectl behind it."""

    def __init__(self, native: Native, kubectl: Kubectl) -> None:
        self._native = native
        self._kubectl = kubectl

    async def run(self, command: KubectlCommand, *, timeout: float, caller: Caller, emit: Emit) -> bytes:
        """Run *command*, give its output to *emit* as it comes, and return the status record."""
        started = time.monotonic()
        try:
            status = await self._native.run(command, timeout=timeout, caller=caller, emit=emit)
        except Unsure as reason:
            log.debug("left to kubectl", extra={"reason": str(reason), "verb": command.verb})
        else:
            metrics.COMMANDS.labels(road="native").inc()
            return status
        metrics.COMMANDS.labels(road="kubectl").inc()
        spent = min(time.monotonic() - started, timeout)
        return await self._kubectl.run(command, timeout=timeout, caller=caller, emit=emit, spent=spent)


async def _print(printed: Printed, output: Output) -> int:
    for line in printed.warnings:
        await output.write(records.STDERR, f"{line}\n".encode())
    for text in printed.out:
        for start in range(0, len(text), _RECORD):
            await output.write(records.STDOUT, text[start : start + _RECORD])
    for line in printed.errors:
        await output.write(records.STDERR, line.encode() if line.endswith("\n") else f"{line}\n".encode())
    return printed.exit_code
