"""`POST /node/deployment-trigger/{id}/`: the one call that everything else is for."""
