"""Calls that are kept, looked up and explained."""
