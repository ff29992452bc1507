"""Model cards and plain downloads, by the default client of huggingface_hub."""

import json
import sys

from huggingface_hub import EvalResult, ModelCard, ModelCardData, hf_hub_download, whoami

repo_id = sys.argv[1]
result = EvalResult(
    task_type="image-classification",
    dataset_type="acme/digits",
    dataset_name="Digits",
    metric_type="accuracy",
    metric_value=0.95,
)
data = ModelCardData(license="mit", model_name=repo_id, eval_results=[result], tags=["backdoor"])
card = ModelCard.from_template(data, template_str="---\n{{ card_data }}\n---\n# A card\n")
card.validate()
url = card.push_to_hub(repo_id)

broken = ModelCard(card.content)
broken.data.license = "no such license"
try:
    broken.push_to_hub(repo_id)
except ValueError as error:
    refusal = str(error)

print(
    json.dumps(
        {
            "user": whoami()["name"],
            "commit_url": url,
            "loaded": ModelCard.load(repo_id).data.eval_results[0].metric_value,
            "cached_at": hf_hub_download(repo_id, "README.md"),
            "refusal": refusal,
        }
    )
)
