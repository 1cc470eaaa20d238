"""GGUF models on llama.cpp, through the low-level functions of `llama-cpp-python`.

The only importer of `llama_cpp`; its `Llama` class, its samplers and its server are not used.
"""
