"""Keeps pytest from collecting the programs that make the documentation."""

collect_ignore = ["conf.py", "figures.py", "records.py", "references.py", "_build"]
