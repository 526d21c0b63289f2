"""How often and how many at once: for keys, deployments and addresses. Knows no feature."""
