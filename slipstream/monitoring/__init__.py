"""Dashboards, rules and alerts for Prometheus and Grafana, and what writes them."""
