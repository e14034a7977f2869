"""Placeholder until the browser's page stands."""
ALL = []
