"""Tables of what this llama.cpp can run, so that the answer is known before it is asked.

Source of every table: llama.cpp 0.5.0 (commit 0c1e57098) as in llama-cpp-python 0.3.36:
src/llama-arch.cpp, src/llama-model.cpp, src/llama-vocab.cpp and src/models/*.cpp.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


GENERATES_TEXT = _names(
    """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bitnet bloom
    chameleon chatglm codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2
    deepseek2-ocr deepseek32 deepseek4 dots1 dots3note ernie4_5 ernie4_5-moe exaone exaone-moe
    exaone4 falcon falcon-h1 gemma gemma2 gemma3 gemma3n gemma4 glm-dsa glm4 glm4moe glm5-next
    gpt-oss gpt2 gptneox granite granite_swa granitehybrid granitemoe graniteswitch grok grovemoe
    hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2 jamba
    kimi-k3 kimi-linear laguna lfm2 lfm2moe llama llama4 maincoder mamba mamba2 maple mellum mimo2
    minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 mpt muse-glimmer nanbeige
    nemotron nemotron_h nemotron_h_moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded
    phi2 phi3 phimoe plamo plamo2 plamo3 plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe
    qwen3moe qwen3next qwen3vl qwen3vlmoe qwen4exp refact rwkv6 rwkv6qwen2 rwkv7 seed_oss
    smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 talkie xverse
    """
)
"""Values of `general.architecture` that write text one token after the other."""

_EMBEDS = "it turns text into vectors (an embedding model)"
_DRAFTS = "it only drafts for another model"
_DIFFUSES = "it writes by diffusion, which this runtime does not do"

CANNOT_CHAT: dict[str, str] = {
    **dict.fromkeys(
        _names("""
        bert eurobert gemma-embedding jina-bert-v2 jina-bert-v3 llama-embed modern-bert neo-bert
        nomic-bert nomic-bert-moe t5encoder
        """),
        _EMBEDS,
    ),
    **dict.fromkeys(("eagle3", "dflash", "gemma4-assistant"), _DRAFTS),
    **dict.fromkeys(("dream", "llada", "llada-moe", "rnd1"), _DIFFUSES),
    "clip": "it is the vision part of another model (mmproj)",
    "t5": "it is an encoder-decoder, which this runtime does not do",
    "wavtokenizer-dec": "it turns tokens into sound",
    "pockettts": "it turns text into speech",
    "qwen3tts": "it turns text into speech",
    "gptj": "llama.cpp has its name but not its code",
}
"""Architectures that llama.cpp knows and that cannot hold a conversation here, with the reason."""

KNOWN_ARCHITECTURES = GENERATES_TEXT | frozenset(CANNOT_CHAT)

RECURRENT = _names("mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7")
"""Without attention, so without attention heads."""

WITHOUT_ROPE = RECURRENT | _names(
    """
    gpt2 mpt refact bloom jamba jais nemotron_h nemotron_h_moe kimi-linear kimi-k3 glm5-next
    """
)
"""Architectures with another position encoding than rotary, or with none."""

ROTATES_WHOLE_HEAD = _names(
    """
    apertus arcee arctic baichuan chameleon codeshell cogvlm cohere2moe dbrx deci deepseek dots1
    ernie4_5-moe ernie4_5 exaone-moe exaone exaone4 falcon granite granite_swa graniteswitch
    granitemoe grok grovemoe hunyuan-moe hunyuan-dense hunyuan_vl hy_v3 internlm2 jais2 llama
    llama4 maincoder mellum minicpm mistral3 olmo olmo2 olmoe orion paddleocr pangu-embedded plamo
    qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe seed_oss smallthinker smollm3
    starcoder2 talkie xverse
    """
)
"""Their graphs abort unless the rotary dimensions are the whole head (`n_embd_head == n_rot`)."""

EQUAL_HEADS = ROTATES_WHOLE_HEAD | _names(
    """
    afmoe bailingmoe2 bitnet bloom chatglm cohere2 command-r glm4 glm4moe gpt2 gptneox
    granitehybrid jais laguna maple minimax-01 minimax-m2 minimax-m3 mpt muse-glimmer nanbeige
    nemotron nemotron_h nemotron_h_moe openelm phi2 phi3 qwen qwen35 qwen35moe qwen3next qwen4exp
    refact spark2_5 stablelm starcoder
    """
)
"""Their graphs abort unless keys and values have the same length."""

PLAIN_ATTENTION = ROTATES_WHOLE_HEAD - {"deci"} | _names(
    """
    bitnet bloom chatglm cohere2 command-r gemma gemma2 gemma3 glm4 gpt2 gptneox jais minimax-m2
    mpt nemotron olmo phi2 phi3 phimoe qwen refact stablelm starcoder
    """
)
"""Every layer has query, key and value matrices of the sizes that the head counts give."""

LAYERS_WITHOUT_ATTENTION = RECURRENT | _names(
    """
    bailingmoe3 deci deepseek4 falcon-h1 glm5-next granitehybrid jamba kimi-k3 kimi-linear lfm2
    lfm2moe minimax-01 nemotron_h nemotron_h_moe plamo2 qwen3next qwen35 qwen35moe qwen4exp
    """
)
"""Architectures in which a layer may have 0 heads: `llm_arch_is_hybrid`, and deci."""

ONE_EXPERT_IS_NONE = frozenset(("hunyuan-dense", "hunyuan_vl"))

ROPE_SECTIONS = _names("qwen2vl paddleocr qwen3vl qwen3vlmoe qwen35 qwen35moe qwen4exp")
"""Architectures whose rotary embedding needs `rope.dimension_sections`."""

ROPE_SCALING_TYPES = frozenset(("none", "linear", "yarn", "longrope"))

TOKENIZER_MODELS = frozenset(
    ("llama", "gpt2", "rwkv", "plamo2", "gemma4", "hybriddna", "whitespace")
)
"""Values of `tokenizer.ggml.model` that text-generating models use."""

BPE_MODELS = frozenset(("gpt2", "gemma4", "hybriddna", "whitespace"))
"""Tokenizers built from merges."""

PRE_TOKENIZERS = _names(
    """
    a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell cohere2moe command-r
    dbrx deepseek-coder deepseek-llm deepseek-r1-qwen deepseek-v3 default exaone exaone-moe exaone4
    f2llmv2 falcon falcon-h1 falcon3 gemma4 gigachat glm4 glm5 gpt-2 gpt-4o gpt3-finnish
    granite-docling granite-embed-multi-311m granite-embed-multi-97m grok-2 hunyuan hunyuan-dense
    hy_v4 jais jais-2 jina-de jina-es jina-v1-en jina-v2-code jina-v2-de jina-v2-es jina-v5-nano
    joyai-llm kanana2 kimi-k2 kormo laguna lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez
    mellum mellum2 midm-2.0 minerva-7b minicpm5 minimax-m2 modern-bert mpt olmo phi-2 pixtral
    poro-chat qwen2 qwen35 refact roberta-bpe sarvam-moe seed-coder smaug-bpe smollm solar-open
    spark2_5 stablelm2 starcoder superbpe talkie tekken tiny_aya trillion ufakzeka viking
    whitespace youtu
    """
)
"""Values of `tokenizer.ggml.pre`."""

ADDS_BOS = _names(
    """
    llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken chameleon
    """
)
"""Pre-tokenizers that begin every text with BOS unless the file says otherwise."""

FORCES_BOS = frozenset(("gemma4", "granite-embed-multi-311m"))
"""Pre-tokenizers that begin every text with BOS whatever the file says."""

WITHOUT_DEFAULT_BOS = frozenset(("chatglm-bpe", "glm4", "glm5"))
"""Pre-tokenizers that drop the default BOS of their tokenizer."""

DEFAULT_BOS_EOS: dict[str, tuple[int | None, int | None]] = {
    "llama": (1, 2),
    "gpt2": (11, 11),
    "hybriddna": (11, 11),
    "whitespace": (11, 11),
    "plamo2": (1, 2),
    "gemma4": (None, None),
    "rwkv": (None, None),
}
"""BOS and EOS that a tokenizer has when the file names none."""

MAX_LAYERS = 512
"""LLAMA_MAX_LAYERS, llama-hparams.h."""

MAX_EXPERTS = 1024
"""LLAMA_MAX_EXPERTS, llama-hparams.h."""
