"""The card's blocks of code: how to load the model, how to run it again, what to cite."""

from __future__ import annotations

import json
import re
import shlex

from ngf_hub.report import Report
from ngf_hub.text import code_block, plain, redact

BIBTEX = {
    "2306.17441": """@article{karim2023efficient,
  title   = {Efficient Backdoor Removal Through Natural Gradient Fine-tuning},
  author  = {Karim, Nazmul and Al Arafat, Abdullah and Khalid, Umar and Guo, Zhishan and
             Rahnavard, Nazanin},
  journal = {arXiv preprint arXiv:2306.17441},
  year    = {2023}
}""",
    "2409.00863": """@inproceedings{karim2024fisher,
  title     = {Fisher Information guided Purification against Backdoor Attacks},
  author    = {Karim, Nazmul and Al Arafat, Abdullah and Rakin, Adnan Siraj and Guo, Zhishan and
               Rahnavard, Nazanin},
  booktitle = {ACM SIGSAC Conference on Computer and Communications Security (CCS)},
  note      = {arXiv:2409.00863},
  year      = {2024}
}""",
    "1805.12185": """@inproceedings{liu2018finepruning,
  title     = {Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural Networks},
  author    = {Liu, Kang and Dolan-Gavitt, Brendan and Garg, Siddharth},
  booktitle = {Research in Attacks, Intrusions, and Defenses (RAID)},
  note      = {arXiv:1805.12185},
  year      = {2018}
}""",
}


def command_block(report: Report) -> str:
    """The command line that was run, without tokens; without one, its arguments."""
    origin = report.provenance
    if origin.command:
        words = [shlex.quote(redact(word)) for word in origin.command]
        if report.kind == "attack" and not any(w.startswith("--output") for w in words):
            words.append("--output backdoored")  # an attack wants a place, which is not recorded
        line = " ".join(words)
        if len(line) > 90:
            line = re.sub(r" (?=--[a-z])", " \\\n    ", line)
        install = f'pip install "ngf-hub=={plain(origin.tool_version, 40)}"'
        return code_block(f"{install}\n{line}", "bash")
    arguments = json.dumps({**origin.arguments, "seed": origin.seed}, indent=2, ensure_ascii=False)
    return "From Python, with these arguments:\n\n" + code_block(redact(arguments), "json")


def load_block(family: str, repo_id: str) -> str:
    """Code that loads the published model with its own library alone."""
    repo_id = plain(repo_id)
    if family == "timm":
        lines = f"""import timm

model = timm.create_model("hf-hub:{repo_id}", pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
logits = model(transform(image).unsqueeze(0))  # image: a PIL image"""
    elif family == "transformers":
        lines = f'''from transformers import AutoImageProcessor, AutoModelForImageClassification

processor = AutoImageProcessor.from_pretrained("{repo_id}")
model = AutoModelForImageClassification.from_pretrained("{repo_id}").eval()
logits = model(**processor(image, return_tensors="pt")).logits  # image: a PIL image'''
    else:
        lines = f'''from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

model = ...  # build the network as before
model.load_state_dict(load_file(hf_hub_download("{repo_id}", "model.safetensors")))'''
    return code_block(lines, "python")


def bibtex(report: Report) -> str:
    """The BibTeX entry of the method's paper, found by its arXiv number."""
    if report.method is None:
        return ""
    numbers = re.findall(r"\d{4}\.\d{5}", report.method.citation or "")
    if not numbers and report.method.name == "ngf":
        numbers = ["2306.17441"]
    return "\n\n".join(BIBTEX[number] for number in numbers if number in BIBTEX)
