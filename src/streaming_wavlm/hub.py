"""Placeholder, being written."""


class HubMixin:
    """Placeholder."""
