"""Builds what opens sessions: log-in, set-up and invitations, which share throttle and queue."""

from __future__ import annotations

from collections.abc import Callable

from gateway.accounts.invitations import InvitationAcceptance
from gateway.accounts.login import LoginService
from gateway.accounts.login_queue import LoginQueue
from gateway.accounts.login_throttle import LoginThrottle
from gateway.accounts.passwords import PasswordService
from gateway.accounts.setup import SetupService
from gateway.auth.keys import KeyHasher
from gateway.auth.sessions import SessionService
from gateway.storage.database import Database


def build_accounts(
    db: Database,
    hasher: KeyHasher,
    passwords: PasswordService,
    sessions: SessionService,
    on_refusal: Callable[[str], None],
) -> tuple[LoginService, SetupService, InvitationAcceptance]:
    """Return all; they call `on_refusal` with a reason when they refuse an attempt."""
    throttle, queue = LoginThrottle(db, hasher), LoginQueue(on_refusal)
    login = LoginService(db, passwords, sessions, throttle, queue)
    setup = SetupService(db, hasher, passwords, sessions, throttle=throttle, queue=queue)
    invitations = InvitationAcceptance(
        db, hasher, passwords, sessions, throttle=throttle, queue=queue
    )
    return login, setup, invitations
