"""Text-to-video pipelines of a few thousand random weights, saved as folders: real in all but what they have learnt."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import diffusers
import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["a", "the", "woman", "man", "she", "he", "smiles", "nods", "twice", "then", "looks", "left", "right", "angry"]
PIECES = 40  # of words, at most
SPECIAL = ["<pad>", "</s>", "<unk>"]


def tiny_tokenizer() -> Any:
    """Words of a short list, and the end of the text, as the tokenizers of T5 give them."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_encoder(kind: str) -> Any:
    """A T5 or UMT5 encoder of 32 features."""
    sizes = dict(vocab_size=64, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4)
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return getattr(transformers, f"{kind}EncoderModel")(config).eval()


def with_sentencepiece(pipeline: Path) -> Path:
    """The pipeline with its tokenizer as most of the hub has it: a model of SentencePiece and no tokenizer.json."""
    index = json.loads((pipeline / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5TokenizerFast"]
    (pipeline / "model_index.json").write_text(json.dumps(index))
    for old in (pipeline / "tokenizer").iterdir():
        old.unlink()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 5),
        model_writer=model,
        vocab_size=PIECES,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (pipeline / "tokenizer" / "spiece.model").write_bytes(model.getvalue())
    settings = {
        "tokenizer_class": "T5Tokenizer",
        "extra_ids": 0,
        **dict(zip(("pad_token", "eos_token", "unk_token"), SPECIAL, strict=True)),
    }
    (pipeline / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(settings))
    return pipeline


def save_wan(folder: Path) -> Path:
    """Multiples of 16 pixels, 4k + 1 frames."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=1,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    diffusers.WanPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=tiny_encoder("UMT5"),
        transformer=transformer,
        transformer_2=None,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder)
    return folder


def save_ltx(folder: Path) -> Path:
    """Multiples of 32 pixels, 8k + 1 frames; its decoder wants to know how noisy the latents are, as LTX 0.9.1 on."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        timestep_conditioning=True,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    diffusers.LTXPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=tiny_encoder("T5"),
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)
    return with_sentencepiece(folder)


def save_cogvideox(folder: Path) -> Path:
    """16 x 16 pixels, 9 frames; positions as in the 2B model."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=226,
    )
    diffusers.CogVideoXPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=tiny_encoder("T5"),
        transformer=transformer,
        vae=vae,
        scheduler=diffusers.DDIMScheduler(),
    ).save_pretrained(folder)
    return folder
