"""When the end of a certificate is near: by days where it lives long, by share of its life where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kubently.doctor.results import Status
from kubently.trust.facts import Certificate

SHORT_LIVED = timedelta(days=90)
_WARNING_SHARE, _ERROR_SHARE = 0.25, 0.10


@dataclass(frozen=True, slots=True)
class Limits:
    """Days that are left when a certificate of 90 days or more is a warning, or an error."""

    warning: float = 21
    error: float = 7


def days_left(certificate: Certificate, now: datetime) -> float:
    """Negative once it is over."""
    return (certificate.not_after - now) / timedelta(days=1)


def share_left(certificate: Certificate, now: datetime) -> float:
    """Of its whole life, from 0 to 1."""
    life = certificate.not_after - certificate.not_before
    return max(0.0, min(1.0, (certificate.not_after - now) / life)) if life > timedelta() else 0.0


def judge(certificate: Certificate, now: datetime, limits: Limits = Limits()) -> Status:
    """Whether it is time to renew it."""
    if certificate.not_after <= now or certificate.not_before > now:
        return Status.ERROR
    # A certificate of six days is fine with three left; one of a year is not.
    is_short = certificate.not_after - certificate.not_before < SHORT_LIVED
    left = share_left(certificate, now) if is_short else days_left(certificate, now)
    first, last = (_WARNING_SHARE, _ERROR_SHARE) if is_short else (limits.warning, limits.error)
    if left < last:
        return Status.ERROR
    return Status.WARNING if left < first else Status.PASS
