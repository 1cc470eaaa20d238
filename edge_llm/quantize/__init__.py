"""Convert and quantise models, with a report of size, speed and quality lost."""
