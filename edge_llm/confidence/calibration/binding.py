"""What a calibration was fitted for: it says nothing about anything else."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edge_llm.errors import CalibrationMismatchError


@dataclass(frozen=True, slots=True)
class Binding:
    """One model file, as it is quantised and prompted, at one task."""

    fingerprint: str
    """`hub.fingerprint.content_fingerprint` of the file."""
    quantization: str
    """As `Q4_K_M`: the cause of a mismatch, said in words."""
    template_sha256: str
    """Of the chat template."""
    task: str = "default"

    def mismatch(self, loaded: Binding) -> str | None:
        """Why the calibration does not hold for what is loaded, one sentence; None: it does."""
        for name, words in _WORDS.items():
            mine, other = asdict(self)[name], asdict(loaded)[name]
            if mine != other:
                return f"the calibration is for {words} {mine!r}, and {other!r} is loaded"
        return None


def check_binding(binding: Binding, loaded: Binding) -> None:
    """Nothing, where the calibration holds for what is loaded.

    Raises:
        CalibrationMismatchError: it is for another model, quantisation, template or task.
    """
    reason = binding.mismatch(loaded)
    if reason is not None:
        raise CalibrationMismatchError(reason, hint="run `edge-llm calibrate` with this model")


# The quantisation before the fingerprint: it changes with it, and says more.
_WORDS = {
    "quantization": "quantisation",
    "fingerprint": "the model",
    "template_sha256": "the chat template",
    "task": "the task",
}
