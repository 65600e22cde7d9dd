"""Where an executor with a certificate proves that it holds the key, and later asks for its next certificate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from anyio.abc import TaskGroup

from kubently.auth import PROOF_TIMEOUT, Admitted
from kubently.errors import KubentlyError
from kubently.tunnel import Session

log = logging.getLogger(__name__)


class Gate:
    """One session's. ``on_proven`` is called once, when the proof was good; never where none is wanted."""

    def __init__(
        self, admitted: Admitted, session: Session, tasks: TaskGroup, *, on_proven: Callable[[], None]
    ) -> None:
        self._cluster = admitted.cluster
        self._possession = admitted.possession
        self._session = session
        self._tasks = tasks
        self._on_proven = on_proven
        self._answering = False
        self._deadline: asyncio.TimerHandle | None = None
        if self._possession:
            session.send_auth(self._possession.challenge())
            self._deadline = asyncio.get_running_loop().call_later(PROOF_TIMEOUT, self._give_up)

    @property
    def is_open(self) -> bool:
        """Whether nothing is left to prove."""
        return self._possession is None or self._possession.is_proven

    def heard(self, payload: bytes) -> None:
        """Take an AUTH frame: the proof or, after it, a question; one question at a time, others are dropped."""
        if self._possession is None:
            return
        if self._possession.is_proven:
            if not self._answering:
                self._answering = True
                self._tasks.start_soon(self._answer, payload)
            return
        try:
            self._possession.prove(payload)
        except KubentlyError as error:
            log.warning("executor refused", extra={"cluster": self._cluster, "reason": str(error)})
            self._session.close(error.message, code=4401)
        else:
            self.end()
            self._on_proven()

    def end(self) -> None:
        """Wait for no proof any more: the timer would hold a session that is closed, for as long as that takes."""
        if self._deadline is not None:
            self._deadline.cancel()

    async def _answer(self, payload: bytes) -> None:
        assert self._possession is not None
        answer = await self._possession.answer(payload)
        self._answering = False
        if not self._session.is_closed:
            self._session.send_auth(answer)

    def _give_up(self) -> None:
        if not self._session.is_closed:
            self._session.close(f"no proof of the certificate's key came within {PROOF_TIMEOUT:.0f} s", code=4401)
