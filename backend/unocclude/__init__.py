"""Unocclude: click a half-hidden object in a picture, get the whole object as a textured mesh."""

__version__ = "0.1.0"
