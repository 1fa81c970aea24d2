"""Layers: one file, one section of the chapter."""
