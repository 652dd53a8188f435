"""Keeps pytest from importing Sphinx's settings and what makes pages as tests."""

collect_ignore = ["conf.py", "figures.py", "records.py", "references.py", "_build"]
