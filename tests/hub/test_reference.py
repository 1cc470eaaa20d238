import pytest

from edge_llm.errors import ModelReferenceError
from edge_llm.hub.reference import ModelReference, parse_reference

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("builtin", ("builtin", "builtin")),
        ("builtin:onnx", ("builtin", "builtin", None, "onnx")),
        ("model.gguf", ("path", "model.gguf")),
        ("models/tiny.gguf", ("path", "models/tiny.gguf")),
        ("./folder", ("path", "./folder")),
        ("~/models/qwen", ("path", "~/models/qwen")),
        ("/srv/models/qwen", ("path", "/srv/models/qwen")),
        ("a/b/c", ("path", "a/b/c")),
        ("hf:Qwen/Qwen3-0.6B-GGUF", ("hub", "Qwen/Qwen3-0.6B-GGUF")),
        ("hf:a/b@v1.0", ("hub", "a/b", "v1.0")),
        ("hf:a/b@refs/pr/3:Q8_0", ("hub", "a/b", "refs/pr/3", "Q8_0")),
        (f"hf:a/b@{REVISION}:x/m-q4.gguf", ("hub", "a/b", REVISION, None, "x/m-q4.gguf")),
        ("hf:a/b:onnx/model_q4.onnx", ("hub", "a/b", None, None, "onnx/model_q4.onnx")),
        ("hf:a/b:cpu/int4/", ("hub", "a/b", None, None, "cpu/int4")),
        ("a/b:Q4_K_M", ("hub", "a/b", None, "Q4_K_M")),
        ("a/b:latest", ("hub", "a/b")),
        ("a/b:m.gguf", ("hub", "a/b", None, None, "m.gguf")),
        ("a/b:onnx/m.onnx", ("hub", "a/b", None, None, "onnx/m.onnx")),
        ("a/b", ("hub", "a/b")),
        ("hf.co/a/b:Q4_K_M", ("hub", "a/b", None, "Q4_K_M")),
        ("https://huggingface.co/a/b", ("hub", "a/b")),
        (
            "https://huggingface.co/a/b/blob/main/x.gguf?download=true",
            ("hub", "a/b", None, None, "x.gguf"),
        ),
        ("https://hf.co/a/b/tree/v2", ("hub", "a/b", "v2")),
        ("qwen3-0.6b", ("catalogue", "qwen3-0.6b")),
        ("Qwen3-0.6B:Q8_0", ("catalogue", "qwen3-0.6b", None, "Q8_0")),
        ("qwen3-0.6b:latest", ("catalogue", "qwen3-0.6b")),
    ],
)
def test_each_form_means_what_its_users_mean(text: str, expected: tuple[str, ...]) -> None:
    assert parse_reference(text) == ModelReference(text, *expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "a\nb",
        "hf:a",
        "hf:a/b/c",
        "hf:a--b/c",
        "hf:../etc",
        "hf:.a/b",
        "hf:a/b:../../etc/passwd.gguf",
        "hf:a/b:/etc/passwd.gguf",
        "hf:a/b:x\\..\\y.gguf",
        "hf:a/b:Q4 K M",
        "hf:a/b@../../../x",
        "hf:" + "a" * 60 + "/" + "b" * 60,
        "https://huggingface.co/a/b/discussions/1",
        "qwen 3",
        "qwen3:a b",
    ],
)
def test_what_names_nothing_or_leads_out_is_refused(text: str) -> None:
    with pytest.raises(ModelReferenceError, match="names no model"):
        parse_reference(text)


@pytest.mark.parametrize(
    "text", ["builtin", "builtin:onnx", "hf:a/b@v1:Q4_K_M", "hf:a/b:m.gguf", "qwen3-0.6b:Q8_0"]
)
def test_the_canonical_form_means_the_same(text: str) -> None:
    reference = parse_reference(text)

    assert str(reference) == text
    assert parse_reference(str(reference)) == reference


def test_the_command_that_fetches_it_can_be_pasted() -> None:
    assert parse_reference("a/b:Q4_K_M").pull_command == "edge-llm pull a/b:Q4_K_M"
    assert parse_reference("hf:a/b@refs/pr/1").pull_command == "edge-llm pull hf:a/b@refs/pr/1"
