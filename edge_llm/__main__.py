"""`python -m edge_llm` is `edge-llm`."""

from edge_llm.cli.main import main

main()
