"""Scripts that the tests of real exports run with the Python of an environment in which the real tools are."""
