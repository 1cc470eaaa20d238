"""Exports transformers checkpoints to ONNX, in an environment of its own: `scripts/export-onnx`."""
