"""The run-time checker of types and shapes; an int is a float here, as it is for Python's type
checkers."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
