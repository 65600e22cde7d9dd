"""Continuous diagnosis: a picture of each chosen cluster kept by watches, what was found over time, and news of it."""

from kubently.continuous.history import Event, History, News, observe
from kubently.continuous.mode import Mode, open_mode
from kubently.continuous.reading import Readings, Wanted, in_order

__all__ = ["Event", "History", "Mode", "News", "Readings", "Wanted", "in_order", "observe", "open_mode"]
