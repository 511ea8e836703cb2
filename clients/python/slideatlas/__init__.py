"""The part of SlideAtlas that other programs import, for a ptiffstore server."""
