"""A DNS server of our own, as hostile as it is told to be, and a resolver that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import cast

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from gateway.outbound.addresses import Address

ZONE = "hostile.example."
_KINDS = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


class HostileDns(asyncio.DatagramProtocol):
    """Answers each query of a type with the next of its answers, then repeats the last one."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers = [list(answer) for answer in answers]
        self._asked: dict[int, int] = {}
        self.questions: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        self.questions.append(f"{question.name} {dns.rdatatype.to_text(question.rdtype)}")
        turn = self._asked.get(question.rdtype, 0)
        self._asked[question.rdtype] = turn + 1
        given = [ip_address(text) for text in self._answers[min(turn, len(self._answers) - 1)]]
        texts = [str(address) for address in given if _KINDS[address.version] == question.rdtype]
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        if texts:
            rows = dns.rrset.from_text(question.name, 0, "IN", question.rdtype, *texts)
            answer.answer.append(rows)
        self._transport.sendto(answer.to_wire(), addr)


class DnsResolver:
    """A Resolver that asks one server, both kinds of address, and remembers nothing."""

    def __init__(self, port: int) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = ["127.0.0.1"]
        self._resolver.port = port
        self._resolver.cache = None

    async def resolve(self, host: str) -> Sequence[Address]:
        found: list[Address] = []
        for kind in _KINDS.values():
            try:
                answer = await self._resolver.resolve(host, kind, raise_on_no_answer=False)
            except dns.exception.DNSException as error:
                raise OSError(str(error)) from error
            found += [ip_address(row.address) for row in answer.rrset or ()]
        return found


@asynccontextmanager
async def hostile_dns(*answers: Sequence[str]) -> AsyncIterator[tuple[HostileDns, DnsResolver]]:
    """Run the server; give it and a resolver that asks it."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: HostileDns(answers), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, DnsResolver(server.port)
    finally:
        transport.close()
