"""The audit journal: lines in a chain, in files that survive, and their verification. Who ships them stands above."""

from kubently.journal import feed, records, segments, sinks, verify
from kubently.journal.committer import FileJournal, Health
from kubently.journal.records import Chain, Line, Record

__all__ = ["Chain", "FileJournal", "Health", "Line", "Record", "feed", "records", "segments", "sinks", "verify"]
