"""How fast it is, each figure beside another one taken in turn: `nox -s bench`."""
