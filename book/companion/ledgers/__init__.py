"""Where every value comes from, and what the records say of themselves."""
