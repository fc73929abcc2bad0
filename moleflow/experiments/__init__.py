"""Many experiments from one file: any model on any data, one table of all."""
