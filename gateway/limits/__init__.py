"""How much a key, a deployment and an address may do. Knows no web, no database and no feature."""
