"""Archived clusters: Kubernetes objects, events and logs in files, served by a small read-only Kubernetes API."""

from __future__ import annotations

from kubently.archive.app import create_app
from kubently.archive.bundled import bundled
from kubently.archive.format import Archive
from kubently.archive.load import load
from kubently.archive.read import read

__all__ = ["Archive", "bundled", "create_app", "load", "read"]
