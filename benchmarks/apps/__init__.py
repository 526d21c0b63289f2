"""The servers that Slipstream is compared with, each as small as its documentation allows."""

from __future__ import annotations
