"""Where the machine's power comes from."""

from __future__ import annotations


def on_battery() -> bool:
    """Whether it runs on its battery now; False where it has none or does not say."""
    import psutil

    read = getattr(psutil, "sensors_battery", None)
    battery = None if read is None else read()
    return battery is not None and battery.power_plugged is False
