"""The type checker that the tests run the package under: shapes and types, an int being a float."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
