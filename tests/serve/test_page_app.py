"""The page as a whole, in Node: what it does when something is not as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

import page_node

pytestmark = pytest.mark.skipif(not page_node.found(), reason="no Node is installed")

DOCUMENT = (Path(__file__).parents[1] / "page_document.js").read_text(encoding="utf-8")
OPEN = """
await import("./app.js");
await pass(1);
const { playFile, state } = window.streamingWavlm;
"""


def run(folder: Path, script: str, browser: str = ""):
    return page_node.run(folder, OPEN + script, DOCUMENT + browser)


def test_a_token_with_a_space_beside_it_is_that_token(tmp_path) -> None:
    seen = run(
        tmp_path,
        """
        element("token").value = " secret ";
        playFile(sound);
        await pass(1);
        return { state: state(), protocols: sockets[0].protocols };
        """,
    )
    assert seen == {"state": "running", "protocols": ["bearer.secret"]}


def test_a_token_that_is_none_is_a_sentence_and_another_may_be_given(tmp_path) -> None:
    seen = run(
        tmp_path,
        """
        element("token").value = "two words";
        playFile(sound);
        await pass(1);
        const first = [state(), sentence()];
        element("token").value = "secret";
        playFile(sound);
        await pass(1);
        const second = [state(), sockets.length];
        element("token").value = "two words";
        element("layer").onchange();
        return [first, second, [state(), sentence()]];
        """,
    )
    words = "An access token is one word of letters, digits and -._~; check it."
    assert seen == [["idle", words], ["running", 1], ["idle", words]]
