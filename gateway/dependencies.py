"""How routes, which are module-level functions, find the objects of their application."""

from __future__ import annotations

from fastapi import Request, params


def from_app(kind: type[object]) -> params.Depends:
    """Return a FastAPI dependency: the application's object of this class.

    `build_fastapi` registers the objects. A protocol stands for a class that the route's package
    may not import.
    """

    async def find(request: Request) -> object:  # a plain function would run in a thread
        return request.app.state.services[kind]

    return params.Depends(find)
