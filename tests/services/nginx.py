"""A private nginx with the documented configuration."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.architecture.repository import ROOT
from tests.services.process import Service
from tests.slipstream.running import free_port
from transport import KeyPair

_SNIPPET = re.compile(r"```nginx\n(.*?)```", re.DOTALL)
_FRAME = """
daemon off;
worker_processes 1;
pid nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  scgi_temp_path scgi;
  uwsgi_temp_path uwsgi;
  proxy_bind {own};
  grpc_bind {own};
{snippet}
}}
"""


class Nginx(Service):
    """nginx on two free ports, for REST and gRPC, in front of a gateway."""

    def __init__(self, folder: Path, pair: KeyPair, own: str, *, port: int, grpc_port: int) -> None:
        """Write the documented configuration with the ports of a local gateway.

        nginx connects to the gateway from the address `own`.
        """
        self.port, self.grpc_port = free_port(), free_port()
        (snippet,) = _SNIPPET.findall((ROOT / "docs" / "tls.md").read_text())
        for documented, ours in {
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "127.0.0.1:8081": f"127.0.0.1:{grpc_port}",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "listen 8443 ": f"listen 127.0.0.1:{self.grpc_port} ",
            "fullchain.pem": str(pair.certificate),
            "privkey.pem": str(pair.key),
        }.items():
            assert documented in snippet
            snippet = snippet.replace(documented, ours)
        configuration = folder / "nginx.conf"
        configuration.write_text(_FRAME.format(snippet=snippet, own=own))
        command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
        super().__init__("nginx", command, self._accepts_connections, folder=folder)

    def _accepts_connections(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
