"""How routes, which are module-level functions, find the objects of their application."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request, params

Service = TypeVar("Service")


def service_of(request: Request, kind: type[Service]) -> Service:
    """Return the object of this class of the application that answers `request`."""
    service: Service = request.app.state.services[kind]
    return service


def from_app(kind: type[object]) -> params.Depends:
    """Return a FastAPI dependency: the application's object of this class.

    `build_fastapi` registers the objects. A protocol stands for a class that the route's package
    may not import.
    """

    async def find(request: Request) -> object:  # a plain function would run in a thread
        return service_of(request, kind)

    return params.Depends(find)
