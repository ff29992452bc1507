"""Tiny random image classifiers, pushed and loaded by timm and transformers."""

import json
import sys

import timm
import torch
from timm.models import push_to_hf_hub
from transformers import AutoModelForImageClassification, ViTConfig

timm_id, transformers_id = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(0)
images = torch.rand(2, 3, 32, 32)


def difference(first, second, output=lambda answer: answer):
    """The largest difference of two models' logits."""
    with torch.no_grad():
        logits = [output(model.eval()(images)) for model in (first, second)]
    return float((logits[0] - logits[1]).abs().max())


model = timm.create_model("resnet10t", num_classes=4)
push_to_hf_hub(model, timm_id, safe_serialization=True, model_card={"license": "apache-2.0"})
reloaded = timm.create_model(f"hf-hub:{timm_id}", pretrained=True)
timm_difference = difference(model, reloaded)

config = ViTConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=32,
    patch_size=8,
    num_labels=4,
)
model = AutoModelForImageClassification.from_config(config)
commit = model.push_to_hub(transformers_id).oid
reloaded = AutoModelForImageClassification.from_pretrained(transformers_id, revision=commit)
transformers_difference = difference(model, reloaded, lambda answer: answer.logits)

print(
    json.dumps(
        {
            "timm_difference": timm_difference,
            "transformers_difference": transformers_difference,
            "transformers_commit": commit,
        }
    )
)
