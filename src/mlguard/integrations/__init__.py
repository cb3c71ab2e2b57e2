"""One file for each place where mlguard is put to work, one foreign library each, imported late."""
