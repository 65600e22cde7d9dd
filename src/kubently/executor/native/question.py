"""The requests of a `get` and their answers, in the order in which kubectl asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from anyio.lowlevel import checkpoint

from kubently.executor.native import asking, objects, statuses
from kubently.executor.native.asking import Answer, Asker
from kubently.executor.native.plan import DEFAULT_NAMESPACE, GetPlan, Target
from kubently.executor.native.resources import Resource
from kubently.executor.native.statuses import Refusal
from kubently.executor.native.table_answers import Table, TableDecoder
from kubently.executor.native.unsure import Unsure, reading

_MAX_YAML = 4 * 1024 * 1024
"""Bytes of answers; printing YAML takes longest."""
_CELL = 64
"""Bytes that a cell is reckoned to hold."""


@dataclass(slots=True)
class Found:
    """Answers: Tables for people, documents (lists, or objects asked for by name) for programs."""

    tables: list[tuple[Resource, Table]] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def ask_all(plan: GetPlan, ask: Asker) -> Found:
    """Ask for everything. Raises Unsure."""
    question = _Question(plan, ask)
    for target in plan.targets:
        await (question.one(target) if target.name else question.pages(target))
    return question.found


class _Question:
    def __init__(self, plan: GetPlan, ask: Asker) -> None:
        self._options = plan.options
        self._ask = ask
        self._decoder = objects.Decoder()
        self._table_decoder = TableDecoder()
        self._bytes = 0
        self.found = Found()

    async def one(self, target: Target) -> None:
        """Ask for an object."""
        answer = await self._get(f"{self._path(target)}/{target.name}{self._subresource()}", {})
        if answer.status == 200:
            self._take(target, answer)
            return
        refusal = self._refusal(answer)
        if refusal.is_not_found:
            refusal = await self._missing_namespace(target) or refusal
        self.found.refusals.append(refusal)

    async def pages(self, target: Target) -> None:
        """Ask for a list, page by page."""
        selectors = {"labelSelector": self._options.label_selector, "fieldSelector": self._options.field_selector}
        query = {name: value for name, value in selectors.items() if value}
        if self._options.chunk:
            query["limit"] = str(self._options.chunk)
        while True:
            answer = await self._get(self._path(target), query)
            if answer.status != 200:
                self.found.refusals.append(statuses.of_list(self._refusal(answer), target.resource, self._options))
                return
            token = self._take(target, answer)
            if not token:
                return
            query["continue"] = token
            await checkpoint()

    def _take(self, target: Target, answer: Answer) -> str:
        """Keep an answer, and return where the next page begins."""
        if self._options.is_table:
            table = self._table_decoder.decode(bytes(answer.body))
            self._ask.held.give(len(answer.body))
            self._ask.held.take(len(table.rows or ()) * len(table.columns) * _CELL)
            self.found.tables.append((target.resource, table))
            return table.metadata.token
        document = self._decode(answer)
        self.found.documents.append(document)
        with reading():
            token = document["metadata"].get("continue") or ""
            return "" if target.name else str(token)

    def _refusal(self, answer: Answer) -> Refusal:
        return statuses.read(answer.status, self._decoder.decode(bytes(answer.body)))

    async def _missing_namespace(self, target: Target) -> Refusal | None:
        """kubectl asks whether the namespace is there, and says so if it is not."""
        namespace = self._options.namespace
        if not target.resource.is_namespaced or namespace == DEFAULT_NAMESPACE:
            return None
        answer = await self._get(f"/api/v1/namespaces/{namespace}", {})
        refusal = None if answer.status == 200 else self._refusal(answer)
        return refusal if refusal and refusal.is_not_found else None

    async def _get(self, path: str, query: dict[str, str]) -> Answer:
        accept = asking.TABLE if self._options.is_table else asking.JSON
        answer = await self._ask.get(path, query, accept=accept)
        self.found.warnings += answer.warnings
        self._bytes += len(answer.body)
        if self._options.output == "yaml" and self._bytes > _MAX_YAML:
            raise Unsure("much to print")
        return answer

    def _decode(self, answer: Answer) -> Any:
        decode = self._decoder.decode if self._options.output == "name" else self._decoder.decode_objects
        return decode(bytes(answer.body))

    def _path(self, target: Target) -> str:
        resource, namespace = target.resource, self._options.namespace
        if resource.is_namespaced and namespace:
            return f"{resource.root}/namespaces/{namespace}/{resource.plural}"
        return f"{resource.root}/{resource.plural}"

    def _subresource(self) -> str:
        return f"/{self._options.subresource}" if self._options.subresource else ""
