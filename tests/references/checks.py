"""docs/reference/checks.md, from the doctor's checks and codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubently import doctor, trust
from kubently.doctor import codes, stores
from tests.references.markdown import NOTE, code, table

_INTRO = """\
# Checks

What `kubently doctor` looks at, in this order; [Find out why the API cannot be reached](../howto/doctor.md) says how to
use it. A check whose predecessor failed is skipped. Codes are stable: the executor's log, the command line and the
doctor give the same code for the same fault.
"""
_STORE = """\
## Checks of the API's store

What `kubently api doctor` looks at, with the API's own environment or `--store URL`.
"""
_OTHERS = """\
## Codes of the way to the API

`tls-…` and `dial-…` come from every check of the network. What to do stands beside the code in the output, with what
was observed; [Say whom to trust](../howto/trust.md#when-it-fails) tells more. Codes of the API itself and of proxies
are in [Errors](errors.md).
"""
_BOUNDS = """\
## What is not told apart

- The C library does not tell SERVFAIL from name servers that do not answer: both are "the name servers give no answer";
  NXDOMAIN and a name without addresses are "there is no such name, or it has no address".
- Where a certificate is over or not valid yet, no answer of the API can be read without giving up verification, and so
  its clock is unknown: the sentence says what the clock here shows, and `http-clock` is skipped.
- A product that inspects TLS is known by the name of the CA that it signs with. One whose CA was named by its owner is
  not: compare the fingerprint of `kubently cert show` with the API's own.
- OpenSSL refuses digests such as SHA-1 by the security level of the system; where that was lowered, nothing is said.
"""


def page() -> str:
    """The page."""
    columns = ("Check", "Looks at", "After", "Own codes")
    checks, store = table(columns, _checks(doctor.CHECKS)), table(columns, _checks(stores.CHECKS))
    own = table(("Code", "What it means", "What to do"), _own())
    others = table(("Code", "What it means"), [(code(slug), text) for slug, text in trust.CODES.items()])
    return "\n".join([NOTE, _INTRO, checks, _STORE, store, "## Codes of the doctor\n", own, _OTHERS, others, _BOUNDS])


def _checks(checks: Sequence[doctor.Check]) -> Iterator[tuple[str, str, str, str]]:
    for check in checks:
        said = [known.slug for known in codes.CODES if check.id in known.checks]
        yield code(check.id), check.title, ", ".join(map(code, check.depends_on)), ", ".join(map(code, said))


def _own() -> Iterator[tuple[str, str, str]]:
    for known in codes.CODES:
        yield f'<a id="{known.slug}"></a>{code(known.slug)}', known.meaning, known.fix
