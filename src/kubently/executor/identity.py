"""An executor with a key of its own: it enrols once, proves its key in every session, and renews in time.

The certificate is shown when dialling and its key signs the API's challenge inside the tunnel, so that a proxy that
ends TLS breaks nothing. A quarter of its life before its end a new certificate, for a new key, is asked for over
whatever session is up. One that the API does not take any more is replaced by enrolling again, as soon as there is a
token.
"""

from __future__ import annotations

import base64
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubently.errors import ConfigError, KubentlyError
from kubently.executor.credentials import StaticToken
from kubently.executor.keeping import Keeping, KeyPair
from kubently.schema import ClusterId, ExecutorCertificate
from kubently.trust import identity

log = logging.getLogger(__name__)

RENEW_AT = (0.20, 0.25)
"""Share of its life that a certificate has left when it is renewed: somewhere between, so that a fleet enrolled at once
does not renew at once."""
RETRY_AFTER = 0.02
"""Share of a certificate's life between two attempts to renew it."""
_ANSWER_TIMEOUT = 30.0
_MAX_ASLEEP = 60.0
_USELESS = frozenset({"executor-certificate-invalid", "executor-certificate-expired", "certificate-blocked"})


@dataclass(frozen=True, slots=True)
class Held:
    """A key with its certificate, read."""

    pair: KeyPair
    certificate: x509.Certificate
    key: identity.PrivateKey

    @property
    def life(self) -> timedelta:
        """How long it is valid in all."""
        return self.certificate.not_valid_after_utc - self.certificate.not_valid_before_utc


Enrol = Callable[[str, str], Awaitable[ExecutorCertificate]]
"""Sends an enrolment token and a certificate request to the API."""


class Identity:
    """`Credentials` by certificate. *token* gives the enrolment token as it is now, empty where there is none.

    *fallback* serves as long as there is neither certificate nor enrolment token.
    """

    def __init__(
        self,
        cluster: ClusterId,
        keeping: Keeping,
        *,
        token: Callable[[], str],
        enrol: Enrol,
        fallback: StaticToken | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._keeping = keeping
        self._token = token
        self._enrol = enrol
        self._fallback = fallback
        self._now = now
        self._rng = random.Random()
        self._held: Held | None = None
        self._before: Held | None = None
        """What was held before a renewal, until the API took the new one."""
        self._useless = ""
        """The certificate (PEM) that the API refused."""
        self._enrolling = "", identity.make_key()
        """An enrolment token and the key that it is used for: an answer that was lost can be asked for again."""
        self._spent = ""
        """The enrolment token that was used up."""
        self._shown: Held | None = None
        """What the last dial showed."""
        self._lock = anyio.Lock()
        self._send: Callable[[bytes], None] | None = None
        self._wish: identity.PrivateKey | None = None
        """Key of the renewal under way."""
        self._renewed = ""
        """The certificate (PEM) that came of it."""
        self._answered = anyio.Event()

    @property
    def certificate(self) -> x509.Certificate | None:
        """What is held now."""
        return self._held.certificate if self._held else None

    # ------------------------------------------------------------------ Credentials

    async def headers(self) -> Mapping[str, str]:
        """See `Credentials.headers`. Raises ConfigError, KubentlyError, OSError."""
        async with self._lock:  # sessions that dial at once must not enrol twice
            if self._held is None:
                await self._find()
        if self._held is None:
            assert self._fallback is not None
            return await self._fallback.headers()
        self._shown = self._held
        der = self._held.certificate.public_bytes(serialization.Encoding.DER)
        return {"Authorization": f"{identity.SCHEME} {base64.b64encode(der).decode()}"}

    def received(self, payload: bytes, send: Callable[[bytes], None], *, host: str) -> None:
        """See `Credentials.received`."""
        try:
            words = identity.decode(payload)
            if words["kind"] == "challenge":
                self._prove(words, send, host)
            elif words["kind"] == "certificate":
                self._take_renewed(identity.text(words, "certificate", most=64 * 1024))
            elif words["kind"] == "refused":
                log.warning("the certificate was not renewed", extra={"reason": words.get("reason", "")[:300]})
                self._answered.set()
        except ValueError as error:
            log.warning("the API's word on our identity cannot be read", extra={"reason": str(error)})

    def refused(self, code: str) -> None:
        """See `Credentials.refused`."""
        if code not in _USELESS or self._held is None or self._shown is not self._held:
            return
        self._useless = self._held.pair.cert
        self._held, self._before = self._before, None

    def _prove(self, words: Mapping[str, str], send: Callable[[bytes], None], host: str) -> None:
        """Sign with the key of the certificate that this dial showed; a renewal may have come in between."""
        asked = identity.text(words, "certificate")
        held = next((h for h in (self._held, self._before) if h and identity.fingerprint(h.certificate) == asked), None)
        if held is None:
            raise ValueError("it asks about a certificate that is not ours")
        challenge = identity.Challenge(identity.text(words, "nonce"), identity.text(words, "session"))
        proof = identity.sign(held.key, challenge, self._cluster, host)
        send(identity.encode("proof", host=proof.host, signature=proof.signature))
        self._send = send
        if held is self._held:
            self._before = None  # the API takes the new one

    # ------------------------------------------------------------------ getting one

    async def _find(self) -> None:
        """Take what is kept, or enrol."""
        kept, token = _read(await self._keeping.load()), self._token()
        fresh = token and token != self._spent
        # What was refused is shown again where there is nothing better: it may have been unblocked meanwhile.
        if kept is not None and (kept.pair.cert != self._useless or not fresh):
            self._held = kept
        elif fresh:
            await self._enrol_with(token)
        elif self._fallback is None:
            raise ConfigError(
                f"the executor of {self._cluster} has no certificate yet, and there is no unused enrolment token",
                hint=f"kubently cluster add {self._cluster} makes one for KUBENTLY_ENROLMENT_TOKEN_FILE",
            )

    async def _enrol_with(self, token: str) -> None:
        if self._enrolling[0] != token:
            self._enrolling = token, identity.make_key()
        key = self._enrolling[1]
        request = identity.make_request(key, self._cluster).decode()
        try:
            made = await self._enrol(token, request)
        except KubentlyError as error:
            if error.code == "enrolment-token-used" and await self._take_others():
                return
            raise
        self._spent = token
        await self._adopt(KeyPair(made.certificate, identity.to_pem(key).decode()))
        log.info("enrolled", extra={"cluster": self._cluster, "not_after": self._end()})

    async def _take_others(self) -> bool:
        """What another replica, which used the token, keeps by now."""
        kept = _read(await self._keeping.load())
        if kept is None or kept.pair.cert == self._useless:
            return False
        self._held = kept
        return True

    async def _adopt(self, pair: KeyPair) -> None:
        """Use *pair*, unless another replica keeps one already."""
        held = _read(pair)
        if held is None:
            raise ConfigError("the API's certificate does not fit our key", hint="update executor and API")
        try:
            if not await self._keeping.save(pair) and await self._take_others():
                return
        except (KubentlyError, OSError) as error:
            log.error("the certificate is not kept: a restart will need a new token", extra={"reason": str(error)})
        self._held = held

    # ------------------------------------------------------------------ renewing

    async def run(self) -> None:
        """Renew whenever it is due; runs until cancelled."""
        share = self._rng.uniform(*RENEW_AT)
        while True:
            held = self._held
            if held is None or self._send is None or not self._is_due(held, share):
                await anyio.sleep(self._until_due(held, share))
                continue
            await self._renew(held)
            share = self._rng.uniform(*RENEW_AT)
            # Whatever came of it: a clock that runs far ahead must not make this a hot loop.
            await anyio.sleep(held.life.total_seconds() * RETRY_AFTER * self._rng.uniform(1, 2))

    def _is_due(self, held: Held, share: float) -> bool:
        return self._now() >= held.certificate.not_valid_after_utc - held.life * share

    def _until_due(self, held: Held | None, share: float) -> float:
        if held is None:
            return 1.0
        left = held.certificate.not_valid_after_utc - held.life * share - self._now()
        return min(_MAX_ASLEEP, max(1.0, left.total_seconds()))

    async def _renew(self, held: Held) -> None:
        try:
            kept = _read(await self._keeping.load())
        except (KubentlyError, OSError) as error:
            log.warning("what is kept cannot be read", extra={"reason": str(error)})
            kept = None
        if kept and kept.certificate.not_valid_after_utc > held.certificate.not_valid_after_utc:
            self._held = kept  # another replica was faster
            return
        self._wish, self._answered = identity.make_key(), anyio.Event()
        request = identity.make_request(self._wish, self._cluster).decode()
        assert self._send is not None
        self._send(identity.encode("renew", request=request))
        with anyio.move_on_after(_ANSWER_TIMEOUT):
            await self._answered.wait()
        wish, self._wish = self._wish, None
        if self._renewed and wish is not None:
            pem, self._renewed = self._renewed, ""
            before = self._held
            await self._adopt(KeyPair(pem, identity.to_pem(wish).decode()))
            self._before = before
            log.info("renewed the certificate", extra={"cluster": self._cluster, "not_after": self._end()})

    def _take_renewed(self, pem: str) -> None:
        if self._wish is None:
            return
        if _read(KeyPair(pem, identity.to_pem(self._wish).decode())) is None:
            raise ValueError("the certificate is not for the key that it was asked for")  # a late answer, perhaps
        self._renewed = pem
        self._answered.set()

    def _end(self) -> str:
        return self._held.certificate.not_valid_after_utc.isoformat() if self._held else ""


def _read(pair: KeyPair | None) -> Held | None:
    """The pair, if its certificate and key can be read and belong together."""
    if pair is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(pair.cert.encode())
        key = identity.read_key(pair.key.encode())
        belong_together = certificate.public_key() == key.public_key()
    except identity.UNREADABLE as error:
        log.error("the executor's own certificate cannot be read", extra={"reason": str(error)})
        return None
    if not belong_together:
        log.error("the executor's own certificate and key do not belong together")
        return None
    return Held(pair, certificate, key)
