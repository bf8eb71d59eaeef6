"""A package, since some of its folders are: all modules keep one name."""
