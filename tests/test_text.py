"""Text from outside: whatever goes in, what comes out is harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngf_hub.text import code, code_block, markdown, plain, redact

HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x07[]();<>|`*_&\\\n\r\t\u202e\u2028$#!~@:/"),
    ),
    max_size=300,
)


@given(HOSTILE, st.integers(1, 60))
def test_plain_is_one_bounded_printable_line(text, limit):
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert all(unicodedata.category(c)[0] != "C" for c in shown)
    assert len(shown.splitlines()) <= 1
    assert shown == plain(shown, limit)


@given(HOSTILE)
def test_markdown_holds_no_tag_and_no_cell_border(text):
    shown = markdown(text)
    assert not set("<>|@") & set(shown)
    assert "\n" not in shown
    assert "://" not in shown
    for mark in "`*_[]":
        # Every one stands behind an odd number of backslashes.
        for place in (i for i, c in enumerate(shown) if c == mark):
            before = shown[:place]
            assert (len(before) - len(before.rstrip("\\"))) % 2 == 1


@given(HOSTILE)
def test_code_is_a_span_that_cannot_be_broken_out_of(text):
    shown = code(text)
    if shown.startswith("`"):
        assert shown.count("`") == 2
        assert shown.endswith("`")
        assert not set("<>|") & set(shown)
    else:
        assert shown in ("(empty)", markdown(text))


@given(HOSTILE)
def test_code_block_is_closed_only_at_its_end(text):
    lines = code_block(text, "bash").split("\n")
    fence = lines[0].removesuffix("bash")
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert not any(line.strip().startswith(fence) for line in lines[1:-1])
    assert not any(unicodedata.category(c)[0] == "C" for line in lines for c in line)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J\x1b[31mcat\x1b[0m", "cat"),
        ("\x1b]8;;http://evil\x07cat\x1b]8;;\x07", "cat"),
        ("\x9b31mcat", "cat"),
        ("a\nb\r\nc", "a b c"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("Zürich 猫 é", "Zürich 猫 é"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_plain_examples(raw, shown):
    assert plain(raw) == shown


def test_time_is_bounded_for_long_text():
    assert len(plain("\x1b[" * 5_000_000 + "x" * 10_000_000)) <= 200


def test_names_stay_readable():
    assert markdown("tabby cat (short-haired), 3+ years #1") == (
        "tabby cat (short-haired), 3+ years #1"
    )
    assert code("layers.11.attention.qkv") == "`layers.11.attention.qkv`"
    assert markdown("- item") == "\\- item"
    assert markdown("1. item") == "1\\. item"
    assert markdown("# heading") == "\\# heading"


FAKE = "hf_" + "FakeFakeFakeFakeFakeFakeFakeFake"


@pytest.mark.parametrize(
    "text",
    [
        f"token={FAKE}",
        f"Authorization: Bearer {FAKE}",
        f"https://user:{FAKE}@example.org/x",
        f"--token={FAKE} --private",
        f"'{FAKE}'",
    ],
)
def test_redact_finds_tokens_of_the_hub(text):
    assert FAKE not in redact(text)
    assert "<token>" in redact(text)


def test_redact_hides_the_token_in_use_whatever_its_form(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "plain-secret")
    assert redact("was plain-secret there") == "was <token> there"
    assert redact("was other-secret there", ["other-secret", None]) == "was <token> there"
    monkeypatch.setenv("HF_TOKEN", "a")
    assert redact("a banana") == "a banana"


def test_redact_leaves_other_text_alone():
    text = '{"file": "hf_hub_download", "sha": "0123456789abcdef", "url": "https://host:80/a@b"}'
    assert redact(text) == text
