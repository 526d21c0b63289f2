"""Reads the dashboards and draws them, filled by a busy installation (`make dashboards`)."""
