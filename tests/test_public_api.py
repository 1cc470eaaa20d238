import inspect
import pkgutil
import subprocess
import sys

import pytest

import edge_llm
from edge_llm import errors


def test_every_public_name_exists_and_is_listed() -> None:
    assert edge_llm.__all__ == sorted(edge_llm.__all__)
    for name in edge_llm.__all__:
        assert getattr(edge_llm, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="lod"):
        edge_llm.lod  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ["numpy", "llama_cpp", "jinja2", "typer", "rich", "psutil", "asyncio"]
    code = f"import sys, edge_llm; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_help_loads_no_heavy_library() -> None:
    heavy = [
        "numpy", "llama_cpp", "jinja2", "rich", "psutil", "prompt_toolkit", "asyncio",
        "platformdirs",
    ]  # fmt: skip
    code = (
        "import sys\n"
        "from edge_llm.cli.main import app\n"
        "sys.argv = ['edge-llm', '--help']\n"
        "try:\n app()\nexcept SystemExit:\n pass\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "Usage:" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_every_module_says_what_it_is_for() -> None:
    for module in pkgutil.walk_packages(edge_llm.__path__, "edge_llm."):
        if module.name != "edge_llm.__main__":
            assert inspect.getdoc(__import__(module.name, fromlist=["x"])), module.name


def all_errors() -> list[type[errors.EdgeLLMError]]:
    return [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.EdgeLLMError)
    ]


def test_every_error_has_its_own_code_and_stands_in_the_drawn_tree() -> None:
    found = all_errors()

    assert len({cls.code for cls in found}) == len(found)
    assert errors.__doc__ is not None
    for cls in found:
        assert cls.__name__ in errors.__doc__
        assert 400 <= cls.status_code < 600


def test_an_error_shows_its_hint() -> None:
    error = errors.ModelNotFoundError("there is no model 'x'", hint="look elsewhere")

    assert str(error) == "there is no model 'x' (look elsewhere)"
    assert (error.message, error.hint) == ("there is no model 'x'", "look elsewhere")


def test_did_you_mean_lists_all_when_nothing_is_near() -> None:
    assert errors.did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert errors.did_you_mean("temprature", ["temperature"]) == "did you mean 'temperature'?"
