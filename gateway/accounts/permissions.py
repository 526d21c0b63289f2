"""Who may do what to whom. Pure."""

from __future__ import annotations

from gateway.auth.identity import Identity, Role, check_administers
from gateway.errors import GatewayError
from protos.errors import ErrorCode


def check_can_manage(by: Identity | None, *roles: Role) -> None:
    """Return where `by` may make, change or delete users who have or get one of `roles`.

    None is the operator, at the command line, who may do everything.

    Raises:
        GatewayError: ROLE_FORBIDDEN.
    """
    if by is None:
        return
    check_administers(by)
    if by.role is not Role.OWNER and Role.OWNER in roles:
        message = "only an owner may make, change or delete an owner: you are an admin"
        raise GatewayError(ErrorCode.ROLE_FORBIDDEN, message)
