"""What must stay on the device: labels and reversible redaction. No network, no files, no clock."""

from __future__ import annotations

from edge_llm.privacy.labels import Passage as Passage
from edge_llm.privacy.labels import PrivacyLabel as PrivacyLabel
from edge_llm.privacy.labels import effective_label as effective_label
from edge_llm.privacy.labels import parse_label as parse_label
from edge_llm.privacy.labels import passage as passage
from edge_llm.privacy.redactions import Redactions as Redactions
from edge_llm.privacy.redactor import Redacted as Redacted
from edge_llm.privacy.redactor import Redactor as Redactor
from edge_llm.privacy.redactor import create_redactor as create_redactor
from edge_llm.privacy.restore import Restorer as Restorer
from edge_llm.privacy.restore import restore_json as restore_json
from edge_llm.privacy.restore import restore_text as restore_text
from edge_llm.privacy.restore import restore_value as restore_value
from edge_llm.privacy.spans import PiiKind as PiiKind
