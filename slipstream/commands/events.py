"""`slipstream events`: changes of flows, deployments, runs and the rest as they happen."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

import typer

from gateway.auth.identity import Identity, Role, Scope
from gateway.live_updates.channel import Stream
from gateway.live_updates.service import LiveUpdates
from gateway.live_updates.topics import Item, Topic
from gateway.storage.change_feed import ChangeFeed
from slipstream import options
from slipstream.session import CommandSession, open_session

_MORE = """

Ctrl-C stops. With --json each line is a document.

$ slipstream events --topic runs
$ slipstream events --topic servers --topic models --json
"""
_PAUSE_SECONDS = 0.25


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(events)


def events(
    *,
    topic: Annotated[
        list[Topic] | None, typer.Option(help="Only these; can be repeated. Default: all.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="End after so long.")] = float("inf"),
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print changes as they happen."""
    with open_session(state, as_json=as_json) as session, suppress(KeyboardInterrupt):
        session.run(_follow(session, frozenset(topic or Topic), time.monotonic() + seconds))


async def _follow(session: CommandSession, topics: frozenset[Topic], end: float) -> None:
    workspace = session.workspace
    feed = ChangeFeed(workspace.db)
    idle = timedelta(hours=workspace.settings.session_idle_hours)
    live = LiveUpdates(workspace.db, feed, session_idle=idle)
    identity = Identity(
        key_id=None,
        profile_id=session.profile_id,
        scope=Scope.MANAGE,
        deployments=None,
        role=Role(workspace.profile.role),
    )
    await feed.poll()  # the first one tells of everything
    stream = live.open(identity, topics, None)
    feed.start()
    live.start()
    session.terminal.note("Waiting for changes; Ctrl-C stops.")
    try:
        with suppress(BrokenPipeError):  # what reads its output has ended
            while (left := end - time.monotonic()) > 0:
                for item in _news(stream):
                    session.terminal.show(item.shown(), _line(item))
                await asyncio.sleep(min(_PAUSE_SECONDS, left))
    finally:
        live.close(stream)
        await live.stop()
        await feed.stop()


def _news(stream: Stream) -> list[Item]:
    """Return what has changed since the last call; if that is too much, each topic."""
    items = stream.channel.since(stream.position, stream.topics)
    stream.position = stream.channel.last
    return [Item(topic=topic, id=None) for topic in stream.topics] if items is None else items


def _line(item: Item) -> str:
    more = "  ".join(f"{name} {value}" for name, value in item.fields.items())
    return f"{item.topic:<12}  {item.id or 'something'}  {more}".rstrip()
