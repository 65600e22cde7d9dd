"""`kubectl get` by requests of our own: what is asked, what comes back, and the text made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anyio.lowlevel import checkpoint

from kubently.executor.native import asking, objects, statuses, yaml_text
from kubently.executor.native.asking import Answer, Asker
from kubently.executor.native.plan import DEFAULT_NAMESPACE, GetPlan, Target
from kubently.executor.native.resources import ResourceTable
from kubently.executor.native.statuses import Refusal
from kubently.executor.native.tables import TablePrinter
from kubently.executor.native.unsure import Unsure, reading

_PIECE = 64 * 1024
"""Characters that are printed before others get their turn."""
_MAX_YAML = 4 * 1024 * 1024
"""Bytes of answers; printing YAML takes longest."""


@dataclass(slots=True)
class Printed:
    """What a command prints, complete."""

    out: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    exit_code: int = 0


@dataclass(slots=True)
class _Found:
    """Answers in the order of the questions."""

    answers: list[tuple[Target, Any]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def run(plan: GetPlan, table: ResourceTable, ask: Asker) -> Printed:
    """Ask, and print as kubectl does. Raises Unsure; nothing is shown before all is known."""
    question = _Question(plan, ask)
    for target in plan.targets:
        await (question.one(target) if target.name else question.pages(target))
    found = question.found
    printed = Printed(warnings=[f"Warning: {text}" for text in dict.fromkeys(found.warnings)])
    refusals = found.refusals
    if plan.options.ignore_not_found:
        refusals = [refusal for refusal in refusals if not refusal.is_not_found]
    printed.errors += map(str, refusals)
    printed.exit_code = 1 if refusals else 0
    with reading():
        if plan.options.is_table:
            await _print_tables(plan, found, printed)
        else:
            await _print_objects(plan, table, found, printed)
    return printed


class _Question:
    """Asks for the targets of a plan."""

    def __init__(self, plan: GetPlan, ask: Asker) -> None:
        self._options = plan.options
        self._ask = ask
        self._decoder = objects.Decoder()
        self._bytes = 0
        self.found = _Found()

    async def one(self, target: Target) -> None:
        """Ask for an object."""
        answer = await self._get(f"{self._path(target)}/{target.name}{self._subresource()}", {})
        if answer.status == 200:
            self.found.answers.append((target, self._decode(answer)))
            return
        refusal = statuses.read(answer.status, self._decode(answer))
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
            document = self._decode(answer)
            if answer.status != 200:
                refusal = statuses.read(answer.status, document)
                self.found.refusals.append(statuses.of_list(refusal, target.resource, self._options))
                return
            self.found.answers.append((target, document))
            with reading():
                token = document["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token
            await checkpoint()

    async def _missing_namespace(self, target: Target) -> Refusal | None:
        """kubectl asks whether the namespace is there, and says so if it is not."""
        namespace = self._options.namespace
        if not target.resource.is_namespaced or namespace == DEFAULT_NAMESPACE:
            return None
        answer = await self._get(f"/api/v1/namespaces/{namespace}", {})
        if answer.status == 200:
            return None
        refusal = statuses.read(answer.status, self._decode(answer))
        return refusal if refusal.is_not_found else None

    async def _get(self, path: str, query: dict[str, str]) -> Answer:
        accept = asking.TABLE if self._options.is_table else asking.JSON
        answer = await self._ask.get(path, query, accept=accept)
        self.found.warnings += answer.warnings
        self._bytes += len(answer.body)
        if self._options.output == "yaml" and self._bytes > _MAX_YAML:
            raise Unsure("much to print")
        return answer

    def _decode(self, answer: Answer) -> Any:
        body = bytes(answer.body)
        return (
            self._decoder.decode_objects(body)
            if self._options.output in ("json", "yaml")
            else (self._decoder.decode(body))
        )

    def _path(self, target: Target) -> str:
        resource, namespace = target.resource, self._options.namespace
        if resource.is_namespaced and namespace:
            return f"{resource.root}/namespaces/{namespace}/{resource.plural}"
        return f"{resource.root}/{resource.plural}"

    def _subresource(self) -> str:
        return f"/{self._options.subresource}" if self._options.subresource else ""


async def _print_tables(plan: GetPlan, found: _Found, printed: Printed) -> None:
    options = plan.options
    types = {target.resource for target, _ in found.answers}
    printer = TablePrinter(options, with_kind=len(types) > 1)
    for target, document in found.answers:
        printer.print(target.resource, document)
        await checkpoint()
    text = printer.finish()
    printed.out.append(text.encode())
    if text or options.ignore_not_found or printed.errors:
        return
    if options.namespace and all(resource.is_namespaced for resource in types):
        printed.errors.append(f"No resources found in {options.namespace} namespace.")
    else:
        printed.errors.append("No resources found")


async def _print_objects(plan: GetPlan, table: ResourceTable, found: _Found, printed: Printed) -> None:
    options = plan.options
    if plan.by_name:
        items = [objects.checked(document) for _, document in found.answers]
    else:
        items = [item for _, document in found.answers for item in objects.items_of(document)]
    is_single = plan.by_name and len(plan.targets) == 1
    if not items and (options.ignore_not_found or is_single):
        return
    kinds = {(item["apiVersion"], item["kind"]) for item in items}
    if not plan.by_name and not all(table.serves(api_version, kind) for api_version, kind in kinds):
        raise Unsure("an object of a kind that discovery does not know")
    if not options.show_managed_fields:
        objects.without_managed_fields(items)
    pieces = _texts(options.output, items, is_single=is_single)
    await _collect(pieces, printed)


def _texts(output: str, items: list[dict[str, Any]], *, is_single: bool) -> Iterator[str | bytes]:
    if output == "name":
        return (f"{objects.name_of(item)}\n" for item in items)
    if output == "json":
        return iter([objects.to_json(items[0])]) if is_single else objects.list_to_json(items)
    return iter([yaml_text.of(items[0])]) if is_single else yaml_text.of_list(items)


async def _collect(pieces: Iterator[str | bytes], printed: Printed) -> None:
    held, size = bytearray(), 0
    for piece in pieces:
        held += piece if isinstance(piece, bytes) else piece.encode()
        if len(held) - size > _PIECE:
            size = len(held)
            await checkpoint()
    printed.out.append(bytes(held))
