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


MICROPHONE = """
globalThis.stopped = [];
globalThis.closed = [];
const media = { getUserMedia: async () => ({ getTracks: () => [{ stop: () => stopped.push(1) }],
                                             getAudioTracks: () => [{}] }) };
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: media }, configurable: true });
globalThis.AudioWorkletNode = class { port = {}; };
globalThis.AudioContext = class {
  sampleRate = 48000;
  audioWorklet = { addModule: async () => { if (globalThis.broken) throw new Error("no worklet"); } };
  createMediaStreamSource() { return { connect() {} }; }
  resume() {}
  suspend() { return new Promise((done) => { globalThis.suspended = done; }); }
  close() { closed.push(1); }
};
"""


def test_a_microphone_that_cannot_be_heard_is_let_go(tmp_path) -> None:
    seen = run(
        tmp_path,
        """
        globalThis.broken = true;
        element("record").onclick();
        await pass(1);
        return [state(), sentence(), stopped.length, closed.length];
        """,
        MICROPHONE,
    )
    words = "The microphone cannot be opened (no worklet); is another program using it?"
    assert seen == ["idle", words, 1, 1]


def test_a_stop_that_overtakes_a_pause_is_the_last_word(tmp_path) -> None:
    seen = run(
        tmp_path,
        """
        element("record").onclick();
        await pass(1);
        const states = [state()];
        element("pause").onclick();
        element("record").onclick();
        suspended();
        await pass(1);
        return [...states, state()];
        """,
        MICROPHONE,
    )
    assert seen == ["running", "finished"]
