"""ONNX decoders on onnxruntime's session, with a loop of our own around it.

The only importer of `onnxruntime`; `onnxruntime-genai` and transformers are not used.
"""
