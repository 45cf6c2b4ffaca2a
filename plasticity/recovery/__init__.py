"""Which rule did a network learn by? A polynomial trace recovered from recordings."""
