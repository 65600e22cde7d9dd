"""Archived clusters: folders of Kubernetes objects, events and logs, served by a small read-only Kubernetes API."""

from __future__ import annotations

from kubently.archive.app import create_app
from kubently.archive.bundled import bundled
from kubently.archive.format import Archive
from kubently.archive.load import load

__all__ = ["Archive", "bundled", "create_app", "load"]
