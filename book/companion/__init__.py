"""The experiments of the book: what is computed, with which seeds, and how it is shown."""
