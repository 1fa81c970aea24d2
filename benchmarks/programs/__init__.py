"""Whole programs, as a user would write them; the process benchmark runs each by its file name."""
