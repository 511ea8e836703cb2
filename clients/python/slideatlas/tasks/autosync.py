"""The module in which SlideAtlas defines sync_store."""

from slideatlas.tasks import sync_store

__all__ = ["sync_store"]
