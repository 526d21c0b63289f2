"""Sessions and the way to one, wired together as the settings say."""

from __future__ import annotations

from datetime import timedelta

from gateway.accounts.login import LoginService
from gateway.accounts.login_throttle import LoginThrottle
from gateway.accounts.passwords import PasswordService
from gateway.accounts.sessions import SessionService
from gateway.auth.keys import KeyHasher
from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed
from gateway.storage.database import Database


class AccountRoom:
    """What a gateway has for people who log in, beside the users themselves."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        feed: ChangeFeed,
        hasher: KeyHasher,
        passwords: PasswordService,
    ) -> None:
        self.sessions = SessionService(
            db,
            hasher,
            feed,
            idle=timedelta(hours=settings.session_idle_hours),
            lifetime=timedelta(days=settings.session_days),
        )
        self.login = LoginService(db, passwords, self.sessions, LoginThrottle(db, hasher))
