"""LitServe: one worker, accelerator off, no access log."""

# mypy: ignore-errors
# (the package is only in an environment of its own)
# ruff: noqa: I002
# LitServe makes a schema of the annotations and cannot read them as strings.
from typing import Any

import litserve

from benchmarks.apps.session import open_session, ports


class Tiny(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load."""
        self.session = open_session()

    def decode_request(self, request) -> Any:
        """Return the rows."""
        return request["inputs"]

    def predict(self, x: Any) -> Any:
        """Run."""
        return self.session.run(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Return the document."""
        return {"outputs": output.tolist()}


if __name__ == "__main__":
    litserve.LitServer(Tiny(), accelerator="cpu").run(
        host="127.0.0.1",
        port=ports()[0],
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
