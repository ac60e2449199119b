"""Conversions of the default weights, each proved by what the converted weights do."""

import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from affect_mllm.tools.convert import ctranslate2, efficientnet, whisper
from affect_mllm.types import CheckpointError

# --- what the converted weights do -------------------------------------------------------------


def test_language_model_answers_a_question(assets):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = assets / "smollm2-135m-instruct"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    answer = out[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    # It stops by itself, at the turn's end.
    assert answer[-1] == tokenizer.eos_token_id == model.generation_config.eos_token_id == 2
    assert tokenizer.decode([2]) == "<|im_end|>"


def test_language_model_tokenizer_cuts_digits_off_first(assets):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(assets / "smollm2-135m-instruct")
    assert tokenizer.tokenize("in  2024") == ["in", "ĠĠ", "2", "0", "2", "4"]
    text = "Ça va?  It's 3:45, <ok>\n\n\tyes 😀"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_whisper_generates_without_being_told_the_language(assets, speak):
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    folder = assets / "whisper-base"
    processor = WhisperProcessor.from_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    speech = speak("I am so happy to see you here this morning.")
    features = processor(speech, sampling_rate=16_000, return_tensors="pt").input_features
    config = model.generation_config
    config.max_length = 40
    heard = processor.batch_decode(model.generate(features), skip_special_tokens=True)[0]
    assert heard.strip() == "I am so happy to see you here this morning."


def test_whisper_tokenizer_knows_every_token_of_the_model(assets):
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(assets / "whisper-base")
    assert len(tokenizer) == 51865
    assert tokenizer.convert_ids_to_tokens([50258, 50363, 50364, 51864]) == [
        "<|startoftranscript|>",
        "<|notimestamps|>",
        "<|0.00|>",
        "<|30.00|>",
    ]


def test_whisper_encoder_follows_the_published_equations(assets):
    """One encoder layer, written out from the paper's pre-norm form, equals transformers'."""
    from torch.nn import functional as F
    from transformers import WhisperModel

    encoder = WhisperModel.from_pretrained(assets / "whisper-base").encoder.eval()
    weights = load_file(assets / "whisper-base" / "model.safetensors")
    x = torch.randn(1, 20, 512, generator=torch.Generator().manual_seed(0))

    def linear(value, name):
        key = f"model.encoder.layers.0.{name}"
        return F.linear(value, weights[f"{key}.weight"], weights.get(f"{key}.bias"))

    def norm(value, name):
        key = f"model.encoder.layers.0.{name}"
        return F.layer_norm(value, (512,), weights[f"{key}.weight"], weights[f"{key}.bias"])

    h = norm(x, "self_attn_layer_norm")
    q, k, v = (
        linear(h, f"self_attn.{n}_proj").view(1, 20, 8, 64).transpose(1, 2) for n in ("q", "k", "v")
    )
    mixed = ((q @ k.transpose(2, 3)) / 8).softmax(-1) @ v
    y = x + linear(mixed.transpose(1, 2).reshape(1, 20, 512), "self_attn.out_proj")
    y = y + linear(F.gelu(linear(norm(y, "final_layer_norm"), "fc1")), "fc2")
    with torch.inference_mode():
        out = encoder.layers[0](x, None)
    out = out[0] if isinstance(out, tuple) else out
    torch.testing.assert_close(out, y, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("photo", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967}), ("rocket", {657, 744})]
)
def test_image_model_classifies_a_photograph(assets, photo, classes):
    import skimage.data
    import timm
    from PIL import Image

    model = timm.create_model(f"local-dir:{assets / 'efficientnet-lite0'}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(model)
    assert config["mean"] == pytest.approx((127 / 255,) * 3)
    image = Image.fromarray(getattr(skimage.data, photo)())
    batch = timm.data.create_transform(**config)(image)[None]
    with torch.inference_mode():
        assert int(model(batch).argmax()) in classes


def test_image_model_fits_the_architecture_key_by_key(assets):
    import timm

    weights = load_file(assets / "efficientnet-lite0" / "model.safetensors")
    model = timm.create_model("tf_efficientnet_lite0")
    assert set(weights) - {k for k in weights if k.endswith("num_batches_tracked")} == {
        k for k in model.state_dict() if not k.endswith("num_batches_tracked")
    }


def test_face_detector_has_its_three_networks(assets):
    weights = load_file(assets / "mtcnn" / "model.safetensors")
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    assert shapes["pnet.conv1.weight"] == (10, 3, 3, 3)
    assert shapes["rnet.dense4.weight"] == (128, 576)
    assert shapes["onet.dense6_3.weight"] == (10, 256)
    assert len(shapes) == 13 + 16 + 21
    assert (assets / "mtcnn" / "config.json").is_file()


# --- converters on small inputs ----------------------------------------------------------------


def ct2_bytes(arrays, *, version=6, spec="WhisperSpec", aliases=()):
    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        code = ctranslate2.DTYPES.index(array.dtype.name)
        out += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", code, array.nbytes) + array.tobytes()
    return out + struct.pack("<I", len(aliases)) + b"".join(map(text, sum(aliases, ())))


def test_ctranslate2_file_is_read_over_two_halves(tmp_path):
    arrays = {"a/b": np.arange(6, dtype=np.float16).reshape(2, 3), "n": np.array(8, np.int16)}
    data = ct2_bytes(arrays, aliases=[("other", "a/b")])
    halves = [tmp_path / "1", tmp_path / "2"]
    halves[0].write_bytes(data[:37])
    halves[1].write_bytes(data[37:])
    read = ctranslate2.read(halves, spec="WhisperSpec")
    np.testing.assert_array_equal(read["a/b"], arrays["a/b"])
    np.testing.assert_array_equal(read["other"], arrays["a/b"])
    assert read["n"] == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 5}, "version 5"),
        ({"spec": "TransformerSpec"}, "TransformerSpec"),
    ],
)
def test_ctranslate2_file_of_another_kind_is_refused(tmp_path, change, message):
    path = tmp_path / "model.bin"
    path.write_bytes(ct2_bytes({"a": np.zeros(3, np.float32)}, **change))
    with pytest.raises(CheckpointError, match=message):
        ctranslate2.read([path], spec="WhisperSpec")


def test_ctranslate2_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(ct2_bytes({"a": np.zeros(300, np.float32)})[:-200])
    with pytest.raises(CheckpointError, match="ends early"):
        ctranslate2.read([path], spec="WhisperSpec")


def test_whisper_key_projection_with_a_bias_is_refused():
    given = {
        "s/linear_0/weight": np.ones((6, 2)),
        "s/linear_0/bias": np.ones(6),
        "s/linear_1/weight": np.ones((2, 2)),
        "s/linear_1/bias": np.ones(2),
    }
    with pytest.raises(CheckpointError, match="bias"):
        whisper._attention(given, "s", "t", fused=("q", "k", "v"))


def test_efficientnet_names_place_every_block():
    assert efficientnet.timm_name("_blocks.0._project_conv.weight") == "blocks.0.0.conv_pw.weight"
    assert efficientnet.timm_name("_blocks.14._bn0.bias") == "blocks.5.3.bn1.bias"
    assert efficientnet.timm_name("_bn1.running_var") == "bn2.running_var"
    with pytest.raises(KeyError):
        efficientnet.timm_name("_blocks.16._bn0.bias")
