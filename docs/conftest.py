"""Keeps pytest from importing Sphinx's settings as a test."""

collect_ignore = ["conf.py", "_build"]
