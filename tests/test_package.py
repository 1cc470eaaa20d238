"""What is installed is what was tested: the wheel holds the package and the models."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_every_module_the_types_and_the_models(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    wanted = {p.relative_to(ROOT).as_posix() for p in (ROOT / "edge_llm").rglob("*.py")}
    assert wanted <= names
    assert "edge_llm/py.typed" in names
    for model in (ROOT / "models").rglob("*"):
        if model.is_file():
            assert f"edge_llm/_models/{model.relative_to(ROOT / 'models').as_posix()}" in names


def test_the_changelog_names_this_version() -> None:
    from edge_llm import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
