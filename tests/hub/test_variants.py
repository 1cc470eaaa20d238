import pytest

from edge_llm.hub.onnx_folder import PREFERRED
from edge_llm.hub.variants import (
    ONNX_PREFERENCE,
    SMALL_BYTES,
    find_variants,
    matching,
    preferred,
    quant_of,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    ("path", "quant"),
    [
        ("Qwen3-0.6B-Q8_0.gguf", "Q8_0"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("gemma-3-1b-it-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Llama-3.2-1B-Instruct-IQ3_M.gguf", "IQ3_M"),
        ("Phi-3-mini-4k-instruct-fp16.gguf", "FP16"),
        ("BF16/model-00001-of-00002.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("granite-4.0-h-350m.gguf", ""),
    ],
)
def test_the_quantisation_is_in_the_name(path: str, quant: str) -> None:
    assert quant_of(path) == quant


def test_parts_are_one_model_and_its_first_part_comes_last() -> None:
    sizes = {f"m-Q4_K_M-0000{n}-of-00003.gguf": n for n in (1, 2, 3)}

    (variant,) = find_variants(sizes)

    assert variant.entry == "m-Q4_K_M-00001-of-00003.gguf"
    assert variant.files[-1] == variant.entry
    assert (len(variant.files), variant.num_bytes, variant.is_complete) == (3, 6, True)


def test_a_missing_part_is_noticed() -> None:
    (variant,) = find_variants({"m-00001-of-00002.gguf": 1})

    assert not variant.is_complete


def test_a_projector_is_no_language_model() -> None:
    assert find_variants({"mmproj-model-f16.gguf": 1, "imatrix.gguf": 1, "README.md": 1}) == []


def test_a_graph_takes_its_weights_and_what_stands_beside_it() -> None:
    sizes = dict.fromkeys(
        [
            "README.md",
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/model_q4.onnx",
            "onnx/model_q4.onnx_data",
            "onnx/model_q4.onnx_data_1",
            "onnx/model_q4f16.onnx",
            "onnx/embed_tokens_q4.onnx",
        ],
        1,
    )

    variants = {variant.quant: variant for variant in find_variants(sizes)}

    assert sorted(variants) == ["", "q4", "q4f16"]
    assert variants["q4"].files == (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "onnx/model_q4.onnx_data",
        "onnx/model_q4.onnx_data_1",
        "onnx/model_q4.onnx",
    )


def test_a_genai_folder_is_taken_whole() -> None:
    folder = "cpu_and_mobile/cpu-int4"
    names = ["genai_config.json", "tokenizer.json", "phi.onnx", "phi.onnx.data", "LICENSE.md"]
    (variant,) = find_variants({f"{folder}/{name}": 1 for name in names})

    assert variant.entry == f"{folder}/phi.onnx"
    assert f"{folder}/phi.onnx.data" in variant.files
    assert f"{folder}/LICENSE.md" not in variant.files
    assert matching([variant], folder) == [variant]


def test_four_bits_come_first_and_eight_for_small_models() -> None:
    large = find_variants({f"m-{q}.gguf": 4 * GIB for q in ("F16", "Q2_K", "Q4_K_M", "Q8_0")})
    small = find_variants({f"m-{q}.gguf": SMALL_BYTES for q in ("F16", "Q4_K_M", "Q8_0")})

    assert [v.quant for v in preferred(large)] == ["Q4_K_M", "Q8_0", "Q2_K", "F16"]
    assert [v.quant for v in preferred(small)] == ["Q8_0", "Q4_K_M", "F16"]


def test_a_selector_is_a_file_a_quantisation_a_format_or_a_folder() -> None:
    variants = find_variants({"a-Q4_K_M.gguf": 1, "a-UD-Q4_K_XL.gguf": 1, "onnx/model_q4.onnx": 1})

    def names(selector: str) -> list[str]:
        return [variant.entry for variant in matching(variants, selector)]

    assert names("q4_k_m") == ["a-Q4_K_M.gguf"]
    assert names("Q4_K_XL") == ["a-UD-Q4_K_XL.gguf"]
    assert names("a-q4_k_m.gguf") == ["a-Q4_K_M.gguf"]
    assert names("q4") == ["onnx/model_q4.onnx"]
    assert names("onnx") == ["onnx/model_q4.onnx"]
    assert names("gguf") == ["a-Q4_K_M.gguf", "a-UD-Q4_K_XL.gguf"]
    assert names("Q5_K_M") == []


def test_the_order_of_onnx_models_is_the_one_of_folders() -> None:
    assert ONNX_PREFERENCE == PREFERRED
