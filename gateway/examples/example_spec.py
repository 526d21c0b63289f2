"""One example to write: a target, a language, a variant, and what follows from them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.examples.call_target import CallTarget, GrpcTarget
from gateway.examples.choices import COMMANDS, ExampleChoices, KeySource, Language, Variant

FETCH = frozenset({Language.JAVASCRIPT, Language.TYPESCRIPT})
"""Languages that call by `fetch`: they get the envelope from deployments of format `auto`."""
_FOLLOWING = frozenset({Variant.POLL, Variant.EVENTS})
_MARGIN_SECONDS = 5
_UNKNOWN_KEY = "sk-********"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSpec:
    """What is to be written."""

    target: CallTarget
    choices: ExampleChoices
    language: Language
    variant: Variant
    is_long: bool
    """Whether `input_data` is too long for the code."""

    @property
    def has_body(self) -> bool:
        """Whether it calls the deployment, rather than being called."""
        return self.variant is not Variant.WEBHOOK

    @property
    def reads_file(self) -> bool:
        """Whether the body is in a file."""
        return self.is_long and self.has_body

    @property
    def follows(self) -> bool:
        """Whether it starts a run and follows it."""
        return self.variant in _FOLLOWING

    @property
    def retries(self) -> bool:
        """Whether it repeats calls."""
        if self.language is Language.HTTPIE:  # which has no retries
            return False
        if self.choices.retry is None:
            return self.language not in COMMANDS
        return self.choices.retry

    @property
    def from_environment(self) -> bool:
        """Whether the key is in an environment variable."""
        return self.choices.key is KeySource.ENVIRONMENT

    @property
    def seconds(self) -> int:
        """How long the caller waits for a result."""
        return self.target.timeout_seconds + _MARGIN_SECONDS

    @property
    def url(self) -> str:
        """Where calls go."""
        path = f"{self.target.base_url}/node/deployment-trigger/{self.target.deployment_id}/"
        if self.variant is Variant.BATCH:
            path += "batch/"
        version = self.choices.version
        return path if version is None else f"{path}?{urlencode({'version': version})}"

    @property
    def has_key(self) -> bool:
        """Whether there is a key that can make the call."""
        return self._key_mask is not None

    @property
    def key(self) -> str:
        """The mask of a key."""
        return self._key_mask or _UNKNOWN_KEY

    @property
    def _key_mask(self) -> str | None:
        grpc = self.target.grpc
        if self.language is Language.GRPC_PYTHON and isinstance(grpc, GrpcTarget):
            return grpc.key_mask
        return self.target.key_mask

    @property
    def sends_idempotency_key(self) -> bool:
        """Whether repeats of the call find the run of the first one."""
        if self.target.requires_idempotency_key:
            return True
        return self.retries and self.target.mode is not ExecutionMode.FAST

    @property
    def gets_envelope(self) -> bool:
        """Whether answers have the format `envelope`."""
        form = self.target.response_format
        if form is ResponseFormat.AUTO:
            return self.language in FETCH
        return form is ResponseFormat.ENVELOPE
