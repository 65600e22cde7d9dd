"""Every code of the doctor's own is explained, and every explained one is said by a check that there is."""

from __future__ import annotations

import re
from pathlib import Path

from kubently import doctor, trust
from kubently.doctor import codes, redis, stores, values

FOLDER = Path(doctor.__file__).parent
# Words of the API and of something in front of it, which `docs/reference/errors.md` explains.
OTHERS = {"not-kubently"}


def _said() -> set[str]:
    made = re.compile(r"\b(?:error|warning)\(\s*\"([a-z]+(?:-[a-z]+)+)\"")
    found = {slug for path in FOLDER.glob("*.py") for slug in made.findall(path.read_text())}
    yielded = re.findall(r"yield \(?(?:Finding\(name, )?\"([a-z]+(?:-[a-z]+)+)\"", Path(values.__file__).read_text())
    return found | set(yielded) | {"values-unreadable"} | set(redis.REASONS.values())


def test_every_code_is_explained_and_none_is_left_over() -> None:
    assert _said() - trust.CODES.keys() - OTHERS == {known.slug for known in codes.CODES}


def test_codes_name_checks_that_exist() -> None:
    named = {check for known in codes.CODES for check in known.checks}

    assert named <= {check.id for check in (*doctor.CHECKS, *stores.CHECKS)}


def test_no_code_is_explained_twice() -> None:
    slugs = [known.slug for known in codes.CODES]

    assert len(slugs) == len(set(slugs))
