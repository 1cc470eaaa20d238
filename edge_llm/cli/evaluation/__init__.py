"""`edge-llm calibrate` and `edge-llm evaluate`: asking, fitting, comparing, showing."""
