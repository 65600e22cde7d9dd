"""OpenAPI documents."""

from __future__ import annotations

from kubently.archive import answers, asked, format


def as_document(archive: format.Archive, request: asked.Asked) -> answers.Answer:
    """Answer /openapi/v2, /openapi/v3 and what lies below."""
    raise answers.no_such_path()
