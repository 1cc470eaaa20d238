"""What is found in a text: one file for each kind. `edge_llm.privacy.finders` lists them."""
