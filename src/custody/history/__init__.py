"""What is so, after so many entries of the log: kinds declared once, one fold, a state that is a value."""
