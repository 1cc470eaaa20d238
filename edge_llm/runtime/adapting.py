"""What is learned of a calibration while it is in use.

Whether it still fits, and where its threshold has to move: only ever above the certified one.
"""

from __future__ import annotations

import json
import logging
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_llm.confidence.checkpoints import END, FIRST
from edge_llm.errors import CalibrationDataError, StoreError
from edge_llm.runtime.observations import read_state, write_state

if TYPE_CHECKING:
    from edge_llm.confidence.calibration.calibration import Calibration
    from edge_llm.confidence.drift import DriftMonitor
    from edge_llm.confidence.online import OnlineThreshold

logger = logging.getLogger(__name__)

DRIFT_PART = "drift"
"""Under which name a calibration keeps how scores were distributed at the first token."""

SAVE_EVERY = 16
"""Requests; the last few are forgotten by a power cut."""


class Adapting:
    """Follows one calibration in use. May be told from any thread."""

    def __init__(
        self,
        calibration: Calibration,
        key: str,
        folder: Path | None,
        *,
        shadow_share: float = 1.0,
    ) -> None:
        """`key` names it among others in `folder`, where its state is kept; None keeps none.

        `shadow_share` is the probability with which a kept request is checked.

        Raises:
            CalibrationDataError: the calibration's reference of scores is damaged.
        """
        self._lock = threading.Lock()
        self._key, self._folder = key, folder
        self._monitor = _monitor(calibration)
        self._online = _online(calibration, shadow_share)
        self._of = _identity(calibration)
        policy = calibration.policy
        self._certified = None if policy is None else policy.threshold
        self._num_unsaved = 0
        self._has_warned = False
        self._is_drift_saved = False
        self._restore()

    @property
    def has_drifted(self) -> bool:
        """Whether scores are surely distributed otherwise than when it was calibrated."""
        return self._monitor is not None and self._monitor.is_alarm

    @property
    def threshold(self) -> float:
        """Below this nothing is to be kept, whatever was certified; 0 adds nothing."""
        return 0.0 if self._online is None else self._online.threshold

    def note(
        self, first_score: float | None, loss: float | None = None, propensity: float = 1.0
    ) -> None:
        """Take one request: its score at the first token, and its loss if it was checked."""
        with self._lock:
            if self._monitor is not None and first_score is not None:
                self._monitor.update(first_score)
            if self._online is not None:
                self._online.update(loss, propensity)
            self._num_unsaved += 1
        if self.has_drifted and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "requests are no longer like those of calibration %s: calibrate again", self._key
            )

    def save(self, *, always: bool = False) -> None:
        """Write the state down now and then; blocks for one small write."""
        if self._folder is None or not self._num_unsaved:
            return
        is_news = self.has_drifted and not self._is_drift_saved
        if self._num_unsaved < SAVE_EVERY and not always and not is_news:
            return
        with self._lock:
            self._is_drift_saved = self.has_drifted
            self._num_unsaved = 0
            state = json.dumps(self._state())
        write_state(self._folder, self._key, state)

    def close(self) -> None:
        """Write down what is left; a full disk costs what was learned last, and says so."""
        try:
            self.save(always=True)
        except StoreError as error:
            logger.warning("what was learned of calibration %s is lost: %s", self._key, error)

    def describe(self) -> dict[str, Any]:
        """How it stands, as JSON values."""
        monitor, online = self._monitor, self._online
        return {
            "drift_e_value": None if monitor is None else monitor.e_value,
            "has_drifted": self.has_drifted,
            "threshold": None if online is None else online.threshold,
            "certified_threshold": self._certified,
        }

    def _state(self) -> dict[str, Any]:
        return {
            "of": self._of,
            "monitor": None if self._monitor is None else self._monitor.state(),
            "share": None if self._online is None else self._online.share,
            **self.describe(),
        }

    def _restore(self) -> None:
        if self._folder is None:
            return
        try:
            text = read_state(self._folder, self._key)
            if text is None:
                return
            state = json.loads(text)
            if state.get("of") != self._of:
                return  # of the calibration that was there before: this one has seen nothing yet
            if self._monitor is not None and state["monitor"] is not None:
                self._monitor.restore(state["monitor"])
            if self._online is not None and state["share"] is not None:
                self._online.share = max(0.0, float(state["share"]))
        except (StoreError, CalibrationDataError, ValueError, KeyError, TypeError) as error:
            logger.warning("what was learned of calibration %s is lost: %s", self._key, error)


def _monitor(calibration: Calibration) -> DriftMonitor | None:
    from edge_llm.confidence.drift import DriftMonitor, read_reference

    part = calibration.parts.get(DRIFT_PART)
    if part is None or FIRST not in calibration.checkpoints:
        return None
    return DriftMonitor(read_reference(part))


def _identity(calibration: Calibration) -> str:
    """Another one for a calibration that was made again under the same name."""
    policy = calibration.policy
    told = [
        calibration.parts.get(DRIFT_PART),
        calibration.num_labels,
        None if policy is None else policy.threshold,
    ]
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _online(calibration: Calibration, shadow_share: float) -> OnlineThreshold | None:
    from edge_llm.confidence.guarantees.goals import AccuracyLoss
    from edge_llm.confidence.online import OnlineThreshold, share_at, step_for

    certificate = calibration.certificate
    if certificate is None or not isinstance(certificate.goal, AccuracyLoss):
        return None
    if END not in calibration.checkpoints:
        return None
    quantiles = calibration.grid(certificate.goal.target, END)
    share = share_at(certificate.policy.threshold, quantiles)
    step = step_for(shadow_share)
    return OnlineThreshold(quantiles, certificate.goal.epsilon, share, step)
