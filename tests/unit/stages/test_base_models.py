"""The models everything starts from: where they come from, how many there are, where they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from relayllm.config import HubModel, LocalModel, load_params
from relayllm.engines.checkpoints.model_shapes import folder_shape
from relayllm.engines.commands import command_tokens
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.errors import ConfigError, ModelError
from relayllm.problems.problem import Problem, write_problems
from relayllm.stages.base_models import run
from relayllm.training.memory import GIB, Device
from relayllm.training.preflight import check_decoding
from tests.support.adapters import saved
from tests.support.small_models import base_tokenizer, make_model

PARAMS = load_params(Path("params/smoke.yaml"))
SMOKE = PARAMS.base_models
SMALL = SMOKE.teacher.model_copy(update={"steps": 1, "batch_size": 2})
PINNED = HubModel(kind="hub", id="some/model", revision="0" * 40)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project's root with a student and a larger teacher in models/."""
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    shutil.copy("params/smoke.yaml", tmp_path / "params.yaml")
    place(tmp_path / "models/student", make_model("qwen3", base_tokenizer(), seed=1))
    place(tmp_path / "models/teacher", make_model("qwen2", base_tokenizer(), seed=2, width=48))
    return tmp_path


def place(folder: Path, model) -> Path:
    model.save_pretrained(folder)
    base_tokenizer().save_pretrained(folder)
    return folder


def local(path: str, digest: str | None = None) -> LocalModel:
    return LocalModel(kind="local", path=path, digest=digest)


def bring(root: Path, student="models/student", teacher="models/teacher", digest=None, **others):
    config = SMOKE.model_copy(update={"student": local(student, digest), "teacher": local(teacher),
                                      "other_teachers": others})
    run(config, data=root, student=root / "out/student", teacher=root / "out/teacher", others=root / "out/others",
        metrics=root / "metrics.json")
    return json.loads((root / "metrics.json").read_text())


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_other_teacher_may_not_be_called_teacher(root):
    config = SMOKE.model_copy(update={"student": SMALL, "teacher": SMALL, "other_teachers": {"teacher": SMALL}})
    with pytest.raises(ConfigError, match="another name"):
        run(config, data=root, student=root / "student", teacher=root / "teacher", others=root / "others",
            metrics=root / "metrics.json")


def test_local_folder_is_copied_and_pinned_by_its_content(root):
    (root / "models/student/optimizer.pt").write_bytes(b"no part of the model")
    metrics = bring(root)
    assert load_file(root / "out/student/model.safetensors").keys() == load_file(
        root / "models/student/model.safetensors").keys()
    assert not (root / "out/student/optimizer.pt").exists()
    digest = metrics["student"]["digest"]
    (root / "models/elsewhere").mkdir()
    shutil.move(root / "models/student", root / "models/elsewhere/moved")
    assert bring(root, "models/elsewhere/moved", digest=digest)["student"]["digest"] == digest
    edit(root / "models/elsewhere/moved/config.json", rms_norm_eps=1e-5)
    with pytest.raises(ModelError, match=rf"has the digest .* params.yaml pins {digest}"):
        bring(root, "models/elsewhere/moved", digest=digest)


def test_old_weights_in_a_bin_file_become_safetensors(root):
    weights = load_file(root / "models/student/model.safetensors")
    torch.save(weights, root / "models/student/pytorch_model.bin")
    (root / "models/student/model.safetensors").unlink()
    bring(root)
    assert torch.equal(load_file(root / "out/student/model.safetensors")["model.embed_tokens.weight"],
                       weights["model.embed_tokens.weight"])


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_off(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_safetensors(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)


def pointer_of_git(folder):
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")


def broken_link(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "nowhere")


def missing_shard(folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-00002.safetensors"}}))


def quantised(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})


def windows(folder):
    edit(folder / "config.json", layer_types=["sliding_attention"] * 2, sliding_window=8, use_sliding_window=True)


def sinks(folder):
    path = folder / "model.safetensors"
    save_file({**load_file(path), "model.layers.0.self_attn.sinks": torch.zeros(4)}, path, {"format": "pt"})


def too_few_rows(folder):
    edit(folder / "config.json", vocab_size=100)


def more_rows_than_weights(folder):
    edit(folder / "config.json", vocab_size=4000)


def more_layers_than_weights(folder):
    edit(folder / "config.json", num_hidden_layers=3, layer_types=["full_attention"] * 3)


def fewer_layers_than_weights(folder):
    edit(folder / "config.json", num_hidden_layers=1, layer_types=["full_attention"])


def width_of_another_model(folder):
    edit(folder / "config.json", hidden_size=48)


def width_that_is_no_number(folder):
    edit(folder / "config.json", hidden_size="wide")


def encoder_and_decoder(folder):
    edit(folder / "config.json", model_type="t5", architectures=["T5ForConditionalGeneration"])


def encoder(folder):
    edit(folder / "config.json", model_type="bert", architectures=["BertForMaskedLM"])


def of_a_kind_to_come(folder):
    edit(folder / "config.json", model_type="zilla", architectures=["ZillaForCausalLM"])


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def tokenizer_of_no_json(folder):
    (folder / "tokenizer.json").write_text("{ no json")


def template_that_renders_nothing(folder):
    (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }")


@pytest.mark.parametrize(("harm", "said"), [
    (without_weights, "lacks weights"), (cut_off, "was cut off"), (no_safetensors, "is no safetensors file"),
    (pointer_of_git, "git lfs pull"), (broken_link, "is a link to .*nowhere"),
    (missing_shard, "lacks model-00002.safetensors"), (quantised, r"quantised checkpoint \(gptq\)"),
    (windows, "sliding_attention"), (sinks, "attention sinks"), (too_few_rows, "scores 100 tokens"),
    (more_rows_than_weights, "embed_tokens.weight.*4000"), (width_of_another_model, "wants .*48"),
    (width_that_is_no_number, "cannot load the config"),
    (more_layers_than_weights, r"lacks 11 weights .*model\.layers\.2\."),
    (fewer_layers_than_weights, r"knows nothing of 11 weights .*model\.layers\.1\."),
    (encoder_and_decoder, r"\(t5\) is no causal language model"), (encoder, r"\(bert\) is no causal language model"),
    (of_a_kind_to_come, "zilla"), (without_tokenizer, "no tokenizer"), (tokenizer_of_no_json, "cannot load the tok"),
    (template_that_renders_nothing, "chat template cannot render a question"),
    (shutil.rmtree, "no model at"), (lambda folder: (folder / "config.json").unlink(), "is no model"),
], ids=lambda value: getattr(value, "__name__", None))
def test_local_folder_that_cannot_be_used_is_refused_with_its_reason(root, harm, said):
    harm(root / "models/student")
    with pytest.raises(ModelError, match=said) as refused:
        bring(root)
    assert str(root / "models/student") in str(refused.value)
    assert not (root / "out/student").exists()
    assert not (root / "out/others").exists()


def test_hub_without_a_network_names_the_local_kind(root, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it reads the environment when imported
    with pytest.raises(ModelError, match="kind: local"):
        bring(root, other=PINNED)


def test_adapter_is_put_over_the_base_it_names(root):
    base, adapter, wrapped = saved("qwen3", root)
    edit(adapter / "adapter_config.json", base_model_name_or_path="base")
    bring(root, "adapter")
    ids = torch.tensor([[5, 9, 14]])
    with torch.no_grad():
        assert torch.allclose(load_model(root / "out/student")(ids).logits, wrapped(ids).logits, atol=1e-4)
    assert command_tokens(load_tokenizer(root / "out/student")) == command_tokens(load_tokenizer(base))


def test_adapter_of_another_base_is_refused(root):
    _, adapter, _ = saved("qwen3", root)
    (adapter / "base.json").write_text(json.dumps({"weights": "0" * 64}))
    edit(adapter / "adapter_config.json", base_model_name_or_path="base")
    with pytest.raises(ModelError, match="was trained over weights with the digest 000"):
        bring(root, "adapter")
    edit(adapter / "adapter_config.json", base_model_name_or_path="some/hub-id")
    with pytest.raises(ModelError, match="an adapter over 'some/hub-id'"):
        bring(root, "adapter")


def without_adapter_weights(adapter):
    (adapter / "adapter_model.safetensors").unlink()


def adapter_weights_that_are_none(adapter):
    (adapter / "adapter_model.safetensors").write_bytes(b"abc")


def adapter_config_of_no_json(adapter):
    (adapter / "adapter_config.json").write_text("{")


@pytest.mark.parametrize(("harm", "said"), [
    (without_adapter_weights, "lacks weights"), (adapter_weights_that_are_none, "is no safetensors file"),
    (adapter_config_of_no_json, "cannot read"),
], ids=lambda value: getattr(value, "__name__", None))
def test_adapter_that_cannot_be_used_is_refused_with_its_reason(root, harm, said):
    _, adapter, _ = saved("qwen3", root)
    edit(adapter / "adapter_config.json", base_model_name_or_path="base")
    harm(adapter)
    with pytest.raises(ModelError, match=said) as refused:
        bring(root, "adapter")
    assert str(adapter) in str(refused.value)


def test_weights_given_for_their_folder_are_refused(root):
    with pytest.raises(ModelError, match="name the folder it lies in"):
        bring(root, "models/student/model.safetensors")


def test_teacher_smaller_than_the_student_is_a_warning(root, capsys):
    bring(root, "models/teacher", "models/student")
    assert "a teacher that is smaller seldom helps" in capsys.readouterr().out


def test_chat_template_that_refuses_system_messages_is_a_warning(root, capsys):
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    (root / "models/student/chat_template.jinja").write_text(template)
    bring(root)
    assert "student's chat template refuses system messages (no system role)" in capsys.readouterr().out


def test_gguf_without_the_package_or_of_another_kind_is_refused(root):
    (root / "models/student.gguf").write_bytes(b"GGML" + bytes(100))
    with pytest.raises(ModelError, match="is no GGUF file"):
        bring(root, "models/student.gguf")
    (root / "models/student.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match="cut off or damaged"):
        bring(root, "models/student.gguf")


@pytest.mark.parametrize(("memory", "told"), [
    (1e-6, "GiB by the formulas of `relay plan`"), (1.0, None)])
def test_what_a_later_stage_could_not_hold_is_refused_when_the_models_are_there(memory, told, root, monkeypatch):
    monkeypatch.setattr("relayllm.training.preflight.this_device", lambda parts: Device("a card", memory / parts))
    if told is None:
        bring(root)
        return
    with pytest.raises(ConfigError, match=told):
        bring(root)


def test_rows_that_may_not_fit_are_a_warning_by_stage(root, monkeypatch, capsys):
    bring(root)
    student, teacher = root / "out/student", root / "out/teacher"
    weights = folder_shape(student).parameters + folder_shape(teacher).parameters
    device = Device("a card", 4 * weights / GIB * 1.01)
    found = list(check_decoding(PARAMS, student, teacher, device))
    assert [line.partition(":")[0] for line in found] == ["filter", "warmup_set", "evaluate"]
    assert f"{PARAMS.evaluate.decoding.slots} rows at full length" in found[-1]
    assert not list(check_decoding(PARAMS, student, teacher, Device("a card", 10)))
    unfiltered = PARAMS.model_copy(update={"filter": PARAMS.filter.model_copy(update={"enabled": False})})
    assert len(list(check_decoding(unfiltered, student, teacher, device))) == 2
    monkeypatch.setenv("RELAY_TEACHER_URL", "http://127.0.0.1:1")  # its weights are elsewhere
    assert [line.partition(":")[0] for line in check_decoding(PARAMS, student, teacher, device)] == [
        "warmup_set", "evaluate"]


def test_benchmark_that_leaves_answers_no_room_is_named_before_anything_is_trained(root):
    problem = Problem("exam-1", "How many? " * 600, "7", "exam")
    (root / "benchmarks").mkdir()
    write_problems(root / "benchmarks/exam.jsonl", [problem])
    with pytest.raises(ConfigError, match=r"evaluate: problem exam-1 takes \d+ tokens .* that the student can read"):
        bring(root)
