"""What must stay on the device: labels and reversible redaction."""
