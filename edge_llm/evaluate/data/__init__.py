"""Data sets of people's own questions: read line by line, errors named by line and column."""
