"""Image datasets in parquet, loaded whole, streamed and pushed by datasets."""

import json
import sys

from datasets import load_dataset
from datasets.exceptions import DatasetNotFoundError

repo_id, revision, pushed_id, private_id, gated_id = sys.argv[1:]


def missing(name):
    try:
        load_dataset(name)
    except DatasetNotFoundError as error:
        return str(error)


streamed = list(load_dataset(repo_id, split="train", streaming=True, revision=revision).take(3))
test = load_dataset(repo_id, split="test", revision=revision)
test.push_to_hub(pushed_id)

print(
    json.dumps(
        {
            "streamed_labels": [row["label"] for row in streamed],
            "streamed_sizes": [row["image"].size for row in streamed],
            "test_rows": len(test),
            "class_names": test.features["label"].names,
            "first_pixel": test[0]["image"].getpixel((0, 0)),
            "pushed_rows": load_dataset(pushed_id, split="test").num_rows,
            "errors": [missing(private_id), missing(gated_id), missing("acme/no-such-dataset")],
        }
    )
)
