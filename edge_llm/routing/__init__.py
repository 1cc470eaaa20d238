"""Facts in, a routing decision out. Pure: no model, network, clock or server."""
