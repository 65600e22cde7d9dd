"""``python -m tests.references``, which is ``make references``."""

from tests.references import FOLDER, PAGES, write

write()
print(f"wrote {', '.join(PAGES)} in {FOLDER}")
