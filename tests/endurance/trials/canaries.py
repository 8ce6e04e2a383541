"""Code and pickles where something might run them: each writes the canary, a file, if it ever is."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trials.core import Ground

AUTO = (
    "AutoModelForCausalLM", "AutoConfig", "AutoModel", "AutoTokenizer", "AutoModelForSequenceClassification", "AutoImageProcessor",
    "AutoProcessor", "AutoFeatureExtractor",
)  # fmt: skip
PICKLES = (
    "optimizer.pt", "training_args.bin", "pytorch_model.bin", "scheduler.pt", "rng_state.pth", "model.pt", "adapter_model.bin",
    "consolidated.00.pth", "model.safetensors", "tokenizer.model", "trainer_state.json", "tokenizer.json", "spiece.model", "vocab.json",
    "pytorch_model.bin.index.json", "model.ckpt.index", "tf_model.h5", "flax_model.msgpack",
)  # fmt: skip
ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ self.__init__.__globals__.__builtins__.open('DEAD', 'w') }}",
    "{{ cycler.__init__.__globals__.os.popen('touch DEAD').read() }}", "{{ lipsum.__globals__['os'].system('touch DEAD') }}",
    "{{ namespace.__init__.__globals__['sys'].modules['os'].system('touch DEAD') }}", "{{ raise_exception.__globals__['os'] }}",
    "{{ strftime_now.__globals__['__builtins__']['open']('DEAD', 'w') }}",
    "{{ ('%s' | attr('format'))('x') }}{{ (messages | attr('__class__')) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}", "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('touch DEAD') }}", "{{ tojson.__globals__ }}", "{{ messages.append.__self__.__class__ }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}", "{{ url_for.__globals__ }}", "{{ config.items() }}",
    "{{ (messages|map(attribute='__class__')|list) }}", "{% generation %}{{ messages.clear() }}{% endgeneration %}",
    "{% do messages.pop() %}", "{{ 'a' * 99999999999 }}", "{{ 2 ** 99999999 }}", "{{ range(99999999) | list }}",
)  # fmt: skip


class Pickled:
    """Writes the canary when it is read back."""

    def __init__(self, dead: str, how: int) -> None:
        self.dead, self.how = dead, how

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        if self.how == 0:
            return open, (self.dead, "w")
        if self.how == 1:
            return os.system, (f"touch {self.dead}",)
        return eval, (f"open({self.dead!r}, 'w')",)


def killer(ground: Ground) -> str:
    """Code that writes the canary, whatever is asked of it."""
    return f"open({dead(ground)!r}, 'w').write('ran')\nclass A: pass\nclass T(A): pass\nclass C(A): pass\ndef generate(*a, **k): pass\n"


def dead(ground: Ground) -> str:
    """The canary is dead if this file exists."""
    return str(ground.folder / "dead")


def changed(file: Path, **more: Any) -> None:
    told = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**told, **more}))


def auto_map(ground: Ground, folder: Path) -> None:
    """Configurations that name classes of their own, in a module that stands beside them, or elsewhere."""
    (folder / "evil.py").write_text(killer(ground))
    where = ground.rng.choice(["evil.A"] * 6 + [
        "./evil.A", "../evil.A", "evil", f"{folder}--evil.A", "user/repo--evil.A", "os.system", "sub/evil.A",
    ])  # fmt: skip
    mapped: dict[str, Any] = dict.fromkeys(("AutoModelForCausalLM", "AutoConfig", ground.rng.choice(AUTO)), where)
    mapped["AutoTokenizer"] = [where, where]
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json"):
        if ground.rng.random() < 0.7:
            changed(folder / name, auto_map=mapped)
    if ground.rng.random() < 0.3:
        changed(folder / "config.json", model_type="evil", architectures=["A"])
    if ground.rng.random() < 0.3:
        changed(folder / "tokenizer_config.json", tokenizer_class=ground.rng.choice(["T", "EvilTokenizer", "evil.T", "os.system"]))


def modules(ground: Ground, folder: Path) -> None:
    """Python files where something might look for them."""
    names = [
        "evil.py", "__init__.py", "modeling_llama.py", "configuration_llama.py", "tokenization_llama.py", "hubconf.py", "handler.py",
        "loss.py", "conftest.py", "sub/evil.py", "custom_generate/generate.py",
    ]  # fmt: skip
    for name in ground.rng.sample(names, 4):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(killer(ground))


def pickles(ground: Ground, folder: Path) -> None:
    """A pickle under one to three names, as pickle or torch writes it; sometimes the weights of before are gone."""
    for name in ground.rng.sample(PICKLES, ground.rng.choice([1, 2, 3])):
        held = {"optimizer": Pickled(dead(ground), ground.rng.randrange(3))}
        if ground.rng.random() < 0.5:
            (folder / name).write_bytes(pickle.dumps(held))
        else:
            torch.save(held, folder / name)
    if ground.rng.random() < 0.4:
        (folder / "model.safetensors").unlink(missing_ok=True)


def template(ground: Ground, folder: Path) -> None:
    text = ground.rng.choice(ESCAPES).replace("DEAD", dead(ground))
    if ground.rng.random() < 0.5:
        (folder / "chat_template.jinja").write_text(text)
    else:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        changed(folder / "tokenizer_config.json", chat_template=ground.rng.choice([text, [{"name": "default", "template": text}]]))


def generation(ground: Ground, folder: Path) -> None:
    where = ground.rng.choice([str(folder), "user/repo", "."])
    changed(folder / "generation_config.json", custom_generate=where, trust_remote_code=True, cache_implementation="evil")
    (folder / "custom_generate").mkdir(exist_ok=True)
    (folder / "custom_generate" / "generate.py").write_text(killer(ground))


def kernels(ground: Ground, folder: Path) -> None:
    name = ground.rng.choice([
        "user/kernel", "user/kernel:function", "kernels-community/flash-attn", "flash_attention_2", "evil", "../evil",
        "paged|user/kernel",
    ])  # fmt: skip
    key = ground.rng.choice(["_attn_implementation", "attn_implementation", "_attn_implementation_internal", "attn_implementation_autoset"])
    changed(folder / "config.json", **{key: name, "use_kernels": True, "trust_remote_code": True})


def quantised(ground: Ground, folder: Path) -> None:
    method = ground.rng.choice(["bitsandbytes", "gptq", "awq", "evil", "torchao", "hqq", "quark", "../evil", "\x1b[31m"])
    changed(folder / "config.json", quantization_config={
        "quant_method": method, "bits": 4, "load_in_4bit": True, "modules_to_not_convert": None,
    })  # fmt: skip


def adapter(ground: Ground, folder: Path) -> None:
    base = ground.rng.choice([str(ground.made.model), str(folder), "user/repo", ".", "\x1b[31m", str(folder / "nothing")])
    mapping = {"base_model_class": "A", "parent_library": ground.rng.choice(["evil", "os", str(folder / "evil")])}
    more = {
        "peft_type": ground.rng.choice(["LORA", "EVIL", "PREFIX_TUNING", "LOHA"]), "task_type": "CAUSAL_LM", "r": 2,
        "target_modules": ground.rng.choice([["q_proj"], "all-linear", "(a+)+$", None]),
    }  # fmt: skip
    changed(folder / "adapter_config.json", base_model_name_or_path=base, auto_mapping=mapping, **more)
    (folder / "evil.py").write_text(killer(ground))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Pickled(dead(ground), 0)))


PLANTS: tuple[Callable[[Ground, Path], None], ...] = (
    auto_map, auto_map, modules, pickles, pickles, template, template, generation, kernels, quantised, adapter,
)  # fmt: skip


def plant(ground: Ground, folder: Path) -> None:
    """One to four of them."""
    for one in ground.rng.choices(PLANTS, k=ground.rng.choice([1, 1, 2, 4])):
        ground.note(f"{one.__name__} in {folder.name}")
        one(ground, folder)
