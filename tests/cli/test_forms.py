"""Forms of answers on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_chat import run_cli
