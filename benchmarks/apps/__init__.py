"""The servers that Slipstream is measured against, each as small as its documentation allows."""

from __future__ import annotations
