"""Settings of traces that are not valid, as `slipstream up` refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream.failures import UnusableError
from slipstream.workspace import read_settings

# Any, below: values of settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"trace_endpoint": "127.0.0.1:4318"},
        {"trace_endpoint": "grpc://127.0.0.1:4317"},
        {"trace_sample_rate": 1.5},
    ],
)
def test_a_setting_that_is_not_valid_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(UnusableError, match=f"SLIPSTREAM_{name.upper()}: "):
        read_settings(**wrong)


def test_an_endpoint_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.traces.is_installed", lambda: False)
    with pytest.raises(UnusableError, match=r"SLIPSTREAM_TRACE_ENDPOINT: .*slipstream\[traces\]"):
        read_settings(trace_endpoint="http://127.0.0.1:4318")
