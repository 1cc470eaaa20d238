"""Wyoming, MQTT and sentence streaming for speech. Speaks to `runtime` only."""
