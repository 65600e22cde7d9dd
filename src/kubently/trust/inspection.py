"""Products that end TLS on the way to read it, known by the names of the CAs that they sign with.

A name proves nothing, and a CA of one's own may be called anything: it is a hint for people, never a decision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubently.trust.facts import Certificate

# Words as they stand in common name or organisation of the CAs, in lower case; then the product.
_PRODUCTS = (
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("goskope.com", "Netskope"),
    ("palo alto networks", "Palo Alto Networks"),
    ("fortinet", "Fortinet"),
    ("fortigate", "Fortinet"),
    ("blue coat", "Blue Coat"),
    ("bluecoat", "Blue Coat"),
    ("proxysg", "Blue Coat"),
    ("symantec web security", "Symantec Web Security"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("opendns", "Cisco Umbrella"),
    ("cloudflare for teams", "Cloudflare Gateway"),
    ("gateway ca - cloudflare", "Cloudflare Gateway"),
    ("check point", "Check Point"),
    ("sophos", "Sophos"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint"),
    ("mcafee web gateway", "Skyhigh Web Gateway"),
    ("skyhigh", "Skyhigh Web Gateway"),
    ("menlo security", "Menlo Security"),
    ("iboss", "iboss"),
    ("watchguard", "WatchGuard"),
    ("sonicwall", "SonicWall"),
    ("barracuda", "Barracuda"),
    ("kaspersky", "Kaspersky"),
    ("eset ssl filter", "ESET"),
    ("avast web", "Avast"),
    ("bitdefender", "Bitdefender"),
    ("mitmproxy", "mitmproxy"),
    ("fiddlerroot", "Fiddler"),
    ("charles proxy", "Charles"),
    ("portswigger", "Burp"),
)
_WORDS = tuple((re.compile(rf"\b{re.escape(words)}"), product) for words, product in _PRODUCTS)


def product_of(chain: Sequence[Certificate]) -> str:
    """The product that signed the *chain*, leaf first; empty where none is known by its name."""
    for certificate in chain:
        signer = f"{certificate.issuer}\n{certificate.issuer_organisation}".lower()
        for words, product in _WORDS:
            if words.search(signer):
                return product
    return ""
