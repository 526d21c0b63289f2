"""Builds the dashboards of Grafana that `slipstream.monitoring` has."""
