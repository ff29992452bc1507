"""Files that are what they seem: weights, and what else lies beside them in a repository."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import functools
import gzip
import pathlib
import pickle
import random

import numpy as np
import torch

from . import assembler as a
from .corpus import case
from .corpus_archives import saved, zipped

STATE = collections.OrderedDict(
    weight=torch.arange(12.0).reshape(3, 4),
    half=torch.ones(2, dtype=torch.bfloat16),
    counter=torch.tensor(7),
    mask=torch.ones(3, dtype=torch.bool),
)


def benign(name, about, *, loader="torch", heavy=False):
    return case(name, about, hostile=False, loader=loader, heavy=heavy)


@benign("state.bin", "a state dictionary")
def _(path, mark):
    return saved(STATE)


@benign("state_legacy.bin", "one of the format before 1.6")
def _(path, mark):
    return saved(STATE, _use_new_zipfile_serialization=False)


@benign("checkpoint.pth", "a checkpoint with the arguments of training")
def _(path, mark):
    arguments = argparse.Namespace(lr=0.1, output=pathlib.PurePosixPath("out"))
    return saved({"state_dict": STATE, "epoch": 3, "best": 0.5, "args": arguments})


@benign("like_a_pickle.bin", "a tensor whose bytes start like a pickle")
def _(path, mark):
    payload = torch.frombuffer(bytearray(b"\x80\x02cos\nsystem\n" * 9), dtype=torch.uint8)
    return saved({**STATE, "bytes": payload})


@benign("optimizer.pt", "the state of an optimiser")
def _(path, mark):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    return saved(optimizer.state_dict())


@benign("rng_state.pth", "the state of random number generators")
def _(path, mark):
    generator = random.Random(0).getstate()
    numpy = np.random.RandomState(0).get_state()
    return saved({"python": generator, "numpy": numpy, "cpu": torch.get_rng_state()})


@benign("model.pth", "a whole model, with a functools.partial in it")
def _(path, mark):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    model.norm = functools.partial(torch.nn.LayerNorm, eps=1e-6)
    return saved(model)


@benign("scripted.pt", "TorchScript")
def _(path, mark):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2)).save(path)


@benign("training_args.bin", "transformers' TrainingArguments", heavy=True)
def _(path, mark):
    from transformers import TrainingArguments

    return saved(TrainingArguments(output_dir="out", use_cpu=True, report_to=[]))


@benign("enumeration.bin", "a member of an enumeration, as Python 3.11 wrote it")
def _(path, mark):
    member = a.call(
        a.name("builtins", "getattr"), a.name("enum_of.trainer", "Strategy"), a.text("EPOCH")
    )
    return a.stream(member)


@benign("values.pkl", "values of the standard library", loader="pickle")
def _(path, mark):
    return pickle.dumps(
        {
            "when": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
            "where": pathlib.PurePosixPath("a/b"),
            "much": decimal.Decimal("1.5"),
            "counts": collections.Counter("abca"),
            "default": collections.defaultdict(list, a=[1]),
            "set": {1, 2},
            "frozen": frozenset({3}),
            "complex": 1j,
            "bytes": b"\x80\x02 and more",
            "nothing": type(None),
        }
    )


for protocol in range(6):

    @benign(f"values_{protocol}.pkl", f"plain values, protocol {protocol}", loader="pickle")
    def _(path, mark, protocol=protocol):
        values = {"a": [1, 2.5, None, True], "b": "text", 3: (4, b"x", bytearray(b"y"), 10**20)}
        return pickle.dumps(values, protocol=protocol)


@benign("tensors.pkl", "tensors in a plain pickle", loader="pickle")
def _(path, mark):
    return pickle.dumps({"w": torch.ones(3)})


@benign("two.pkl", "two pickles, one behind the other", loader="twice")
def _(path, mark):
    return pickle.dumps([1, 2]) + pickle.dumps({"a": np.arange(3)})


@benign("generators.pkl", "generators of NumPy and a structured array", loader="pickle")
def _(path, mark):
    structured = np.zeros(2, dtype=[("a", "i4"), ("b", "U3")])
    return pickle.dumps([np.random.default_rng(0), np.random.RandomState(0), structured])


@benign("frame.pkl", "a table of pandas", loader="pickle", heavy=True)
def _(path, mark):
    import pandas as pd

    dates = pd.date_range("2024-01-01", periods=3)
    return pickle.dumps(pd.DataFrame({"a": [1, 2, 3], "b": list("xyz")}, index=dates))


@benign("forest.joblib", "a model of scikit-learn", loader="joblib", heavy=True)
def _(path, mark):
    import joblib
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(3, random_state=0).fit(np.eye(8), np.arange(8) % 2)
    joblib.dump(model, path)


@benign("arrays.joblib", "arrays of every kind", loader="joblib")
def _(path, mark):
    import joblib

    joblib.dump(
        {
            "float": np.arange(50.0).reshape(5, 10),
            "fortran": np.asfortranarray(np.eye(3, dtype=np.float32)),
            "text": np.array(["a", "bcd"]),
            "objects": np.array([1, "x", None], dtype=object),
            "fields": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
            "dates": np.array(["2024-01-01"], dtype="M8[D]"),
            "empty": np.zeros((0, 3)),
            "scalar": np.float32(2.5),
        },
        path,
    )


@benign("compressed.joblib", "arrays, compressed", loader="joblib")
def _(path, mark):
    import joblib

    joblib.dump([np.arange(500.0), "text"], path, compress=3)


@benign("plain.npy", "an array", loader="numpy")
def _(path, mark):
    with path.open("wb") as file:
        np.save(file, np.arange(12.0).reshape(3, 4))


@benign("objects.npy", "an array of objects", loader="numpy")
def _(path, mark):
    with path.open("wb") as file:
        np.save(file, np.array([1, "two", None, (3,)], dtype=object))


@benign("arrays.npz", "arrays in an archive", loader="numpy")
def _(path, mark):
    np.savez_compressed(path, a=np.arange(5), names=np.array(["x", "y"], dtype=object))


@benign("raw.bin", "raw numbers, as OpenVINO keeps them", loader=None)
def _(path, mark):
    return np.random.default_rng(0).normal(size=5000).astype(np.float32).tobytes()


@benign("words.bin", "text, one word a line", loader=None)
def _(path, mark):
    return b"cat\ndog\nbird\nimage\ntree\n"


@benign("notes.pkl.gz", "text, compressed", loader=None)
def _(path, mark):
    return gzip.compress(b"nothing but words\n" * 50)


@benign("pictures.zip", "an archive of other files", loader=None)
def _(path, mark):
    return zipped([("a.png", b"\x89PNG\r\n"), ("b/readme.md", b"# Pictures")])
