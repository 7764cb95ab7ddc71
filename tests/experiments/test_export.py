from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from experiments.cli import main
from scaling.data.tokenizer import END_NAME, ByteTokenizer, train_bpe
from scaling.models import FAMILIES, Shape, get_family, input_lengths, neox
from scaling.records.record import decode_record

safetensors = pytest.importorskip("safetensors.torch", reason="the extra `export` is not installed")


def some_inputs(objective: str, vocab: int, context: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randint(vocab, (2, n), generator=generator) for n in input_lengths(objective, context))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exported_run_is_built_again_from_its_files(
    family: str, one_of_each: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = one_of_each[family]
    cache = str(folder.parents[2] / "cache")
    assert main(["export", str(folder), "--to", str(tmp_path / "out"), "--cache", cache]) == 0
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(written)
    assert len(written) == (8 if family == "decoder" else 4)

    config = json.loads((tmp_path / "out" / "config.json").read_text())
    record = decode_record((folder / "record.json").read_bytes())
    assert main(["export", str(folder), "--to", str(tmp_path / "out"), "--cache", cache]) == 2
    assert "already there. Give another --to, or --overwrite" in capsys.readouterr().err
    again = ["export", str(folder), "--to", str(tmp_path / "out"), "--cache", cache, "--overwrite"]
    assert main(again) == 0
    for path in (tmp_path / "out").rglob("tokenizer_config.json"):
        settings = json.loads(path.read_text())
        assert settings["pad_token"] == settings["eos_token"] == END_NAME
        assert settings["model_max_length"] == record.context
    assert (config["run_id"], config["data_fingerprint"]) == (record.run_id, record.data_fingerprint)
    shape = get_family(config["family"]).shape(config["width"], config["depth"])
    model = get_family(config["family"]).build(shape, config["vocab"], config["context"])
    model.load_state_dict(safetensors.load_file(tmp_path / "out" / "model.safetensors"))
    state = torch.load(next((folder / "checkpoints").iterdir()), weights_only=True)["model"]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_decoder_gives_the_same_logits_in_transformers(tmp_path: Path) -> None:
    """Two heads, so that an order of channels that is wrong by head shows."""
    transformers = pytest.importorskip("transformers", reason="the extra `export` is not installed")
    shape, vocab, context = Shape(64, 3), 61, 24
    torch.manual_seed(0)
    model = get_family("decoder").build(shape, vocab, context)
    for name, parameter in model.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.5)
    weights = neox.to_weights(model.state_dict(), shape)
    safetensors.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(neox.to_config(shape, vocab, context)))
    other = transformers.GPTNeoXForCausalLM.from_pretrained(tmp_path).eval()
    (tokens,) = some_inputs("causal", vocab, context)
    with torch.inference_mode():
        torch.testing.assert_close(other(tokens).logits, model(tokens), rtol=1e-5, atol=1e-5)


def test_a_tokenizer_that_goes_along_gives_the_same_ids(tmp_path: Path) -> None:
    """And one special token, the end of a document."""
    text = "def f(x):\n    return x + 1  # Ωmega 'twas\n" * 40
    for ours in (ByteTokenizer(), train_bpe([text.encode()], 270)):
        theirs = ours.to_library()
        assert theirs.encode(text).ids == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text
        assert theirs.token_to_id(END_NAME) == ours.end
        assert theirs.get_vocab_size() == ours.vocab
