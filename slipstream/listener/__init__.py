"""A receiver of webhooks on this machine: it verifies what comes, and tells of it."""
