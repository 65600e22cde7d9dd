"""``python -m kubently.main``."""

from kubently.main import main

main()
