"""Who calls: profiles, API keys, and the look-up that every request starts with."""
