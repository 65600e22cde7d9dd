"""`kubectl get` by requests of our own: what is asked, what comes back, and the text made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anyio.lowlevel import checkpoint

from kubently.executor.native import objects, yaml_text
from kubently.executor.native.asking import Asker
from kubently.executor.native.plan import GetPlan
from kubently.executor.native.question import Found, ask_all
from kubently.executor.native.resources import ResourceTable
from kubently.executor.native.tables import TablePrinter
from kubently.executor.native.unsure import Unsure, reading

_PIECE = 64 * 1024
"""Characters that are printed before others get their turn."""


@dataclass(slots=True)
class Printed:
    """What a command prints, complete."""

    out: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    exit_code: int = 0


async def run(plan: GetPlan, table: ResourceTable, ask: Asker) -> Printed:
    """Ask, and print as kubectl does. Raises Unsure; nothing is shown before all is known."""
    found = await ask_all(plan, ask)
    refusals = found.refusals
    if plan.options.ignore_not_found:
        refusals = [refusal for refusal in refusals if not refusal.is_not_found]
    printed = Printed(
        errors=[str(refusal) for refusal in refusals],
        warnings=[f"Warning: {text}" for text in dict.fromkeys(found.warnings)],
        exit_code=1 if refusals else 0,
    )
    with reading():
        if plan.options.is_table:
            await _print_tables(plan, found, printed)
        else:
            await _print_objects(plan, table, found, printed)
    return printed


async def _print_tables(plan: GetPlan, found: Found, printed: Printed) -> None:
    options = plan.options
    types = {resource for resource, _ in found.tables}
    printer = TablePrinter(options, with_kind=len(types) > 1)
    for resource, page in found.tables:
        printer.print(resource, page)
        await checkpoint()
    text = printer.finish()
    printed.out.append(text.encode())
    if text or options.ignore_not_found or printed.errors:
        return
    if options.namespace and all(resource.is_namespaced for resource in types):
        printed.errors.append(f"No resources found in {options.namespace} namespace.")
    else:
        printed.errors.append("No resources found")


async def _print_objects(plan: GetPlan, table: ResourceTable, found: Found, printed: Printed) -> None:
    options = plan.options
    if plan.by_name:
        items = [objects.checked(document) for document in found.documents]
    else:
        items = [item for document in found.documents for item in objects.items_of(document)]
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
