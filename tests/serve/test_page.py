"""The page of a live server: its files, and what it does in a real browser."""

from __future__ import annotations

import base64
import io
import re
import urllib.request
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile

from chromium import SAID, browser, found
from lab_heads import head
from live import CHUNKS, live, one_pass
from streaming_wavlm import corpus, protocol
from streaming_wavlm.protocol import Features
from streaming_wavlm.serve.access import Access
from streaming_wavlm.serve.app import PAGE

HEADS = ("words", "orders", "phones", "speakers")
FILES = sorted(path.name for path in PAGE.iterdir())
IDLE = "document.body.dataset.state === 'idle'"
LANE = "streamingWavlm.lanes()[0]"
# What was received on a lane, as base64 of float32.
RECEIVED = """(() => {
  const all = LANE.blocks.flatMap((block) => Array.from(block));
  const view = new Uint8Array(new Float32Array(all).buffer);
  let text = "";
  for (const byte of view) text += String.fromCharCode(byte);
  return btoa(text);
})()"""


@pytest.fixture(scope="module")
def server(model):
    with live(model, heads=[head(name) for name in HEADS]) as running:
        yield running


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    samples = corpus.long_recording(3.0)[: 3 * 16_000]
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def recording(wave, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "speech.wav"
    # Browsers do not agree about what a 16-bit sample is as a number.
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def tab(recording, tmp_path_factory):
    if found() is None:
        pytest.skip("no Chromium is installed; with one (or its path in CHROMIUM) the page is tested in it")
    spoken = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(spoken, soundfile.read(recording)[0], 16_000, subtype="PCM_16")
    flags = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={spoken}")
    with browser(tmp_path_factory.mktemp("profile"), *flags) as one:
        yield one


@pytest.fixture
def page(tab, server):
    """The page, newly opened."""
    tab.complaints.clear()
    tab.requests.clear()
    tab.look(width=1280, height=900)
    tab.go("about:blank")
    tab.go(server.url)
    tab.wait(f"window.streamingWavlm && {IDLE}")
    yield tab
    assert tab.complaints == []


def received(tab, lane: int = 0) -> np.ndarray:
    script = RECEIVED.replace("LANE", f"streamingWavlm.lanes()[{lane}]")
    dim = tab.run(f"streamingWavlm.lanes()[{lane}].dim")
    return np.frombuffer(base64.b64decode(tab.run(script)), np.float32).reshape(-1, dim)


def click(tab, name: str) -> None:
    tab.run(f"document.getElementById('{name}').click()")


def constants() -> dict[str, int]:
    """The places of a header's fields, as the page's client has them."""
    found = re.search(r"export const HEADER = \{(.*?)\};", (PAGE / "features.js").read_text(), re.DOTALL)
    assert found is not None
    return {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", found[1])}


# — without a browser —


@pytest.mark.parametrize("name", ["", *FILES])
def test_the_server_gives_the_page(server, name) -> None:
    with urllib.request.urlopen(f"{server.url}/{name}") as reply:
        kind, body = reply.headers["content-type"], reply.read()
    suffix = Path(name or "index.html").suffix
    expected = {".html": "text/html", ".css": "text/css", ".js": "javascript", ".svg": "image/svg+xml"}
    assert expected[suffix] in kind
    assert body == (PAGE / (name or "index.html")).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_no_file_of_the_page_needs_another_server(name) -> None:
    text = (PAGE / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|[\"'(]//", text)
    for imported in re.findall(r"from \"\./([\w.]+)\"", text):
        assert imported in FILES


def test_the_pages_client_reads_a_header_as_the_server_writes_it() -> None:
    at = constants()
    array = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
    data = Features(array, stream=7, position=2**33 + 9, compute_us=1234).pack()

    def number(name: str, size: int) -> int:
        return int.from_bytes(data[at[name] : at[name] + size], "little")

    assert at["bytes"] == protocol.HEADER_BYTES
    assert [number("type", 1), number("layers", 2), number("dim", 4), number("frames", 4)] == [0, 2, 5, 3]
    assert number("pooled", 1) == 0
    assert Features(array[:, :1], 0, 0, pooled=9).pack()[at["pooled"]] == 1
    assert [number("stream", 4), number("position", 8), number("compute", 4)] == [7, 2**33 + 9, 1234]
    assert f'magic: "{data[:4].decode()}"' in (PAGE / "features.js").read_text()
    text = (PAGE / "client.js").read_text()
    assert f"PROTOCOL = {protocol.VERSION};" in text
    assert f'PATH = "{protocol.PATH}"' in text


def test_health_says_what_the_page_offers(server, model) -> None:
    health = server.service.health()
    assert health["chunk_ms"] == list(CHUNKS)
    assert health["num_layers"] == model.config.num_layers
    assert health["free"] == server.service.limits.streams - server.service.connections


# — in a browser —


def test_a_file_becomes_the_features_of_one_pass(page, server, model, wave, recording) -> None:
    page.choose("#speed", "Infinity")
    page.give_file(recording)
    page.wait(f"{LANE}.total")
    assert page.run(f"{LANE}.total.samples") == len(wave)
    np.testing.assert_allclose(received(page), one_pass(model, wave)[-1], atol=1e-5)
    assert "Finished after 3.0 s" in page.run(SAID)
    page.choose("#layer", "0")  # another stream hears what was kept
    page.wait(f"{LANE}.layer === 0 && {LANE}.total")
    np.testing.assert_allclose(received(page), one_pass(model, wave)[0], atol=1e-5)
    assert all(url.split("//")[1].startswith(server.url.split("//")[1]) for url in page.requests)


def test_the_download_is_a_file_that_numpy_reads(page, recording) -> None:
    page.choose("#speed", "Infinity")
    page.give_file(recording)
    page.wait(f"{LANE}.total")
    data = page.run(
        "import('/npy.js').then(async ({ npy }) => {"
        f"const bytes = new Uint8Array(await npy({LANE}.blocks, {LANE}.dim).arrayBuffer());"
        "let text = ''; for (const byte of bytes) text += String.fromCharCode(byte); return btoa(text); })"
    )
    np.testing.assert_array_equal(np.load(io.BytesIO(base64.b64decode(data))), received(page))


def test_the_microphone_is_heard_paused_reset_and_stopped(page) -> None:
    click(page, "record")
    page.wait(f"{LANE}.frames > 30 && {LANE}.trips.length")
    assert page.run(SAID) == "Listening to the microphone."
    assert page.run("streamingWavlm.tape.rate") >= 16_000
    page.wait("Math.max(...streamingWavlm.tape.high) > 0.05")  # not silence
    assert page.run(f"{LANE}.find('algorithmic').textContent").endswith(" ms")
    click(page, "pause")
    page.wait("streamingWavlm.state() === 'paused'")
    click(page, "pause")
    page.wait("streamingWavlm.state() === 'running'")
    click(page, "reset")
    page.wait(f"{LANE}.client.stream === 1 && {LANE}.frames > 5")
    click(page, "record")
    page.wait(f"{LANE}.total && streamingWavlm.state() === 'finished'")
    assert page.run(f"{LANE}.total.frames") == page.run(f"{LANE}.frames")


def test_two_streams_of_different_chunks_hear_the_same(page, model, wave, recording) -> None:
    click(page, "compare")
    assert page.run("streamingWavlm.lanes().map((lane) => Number(lane.chunk.value))") == list(CHUNKS)
    page.choose("#speed", "Infinity")
    page.give_file(recording)
    page.wait("streamingWavlm.lanes().every((lane) => lane.total)")
    for lane, chunk_ms in enumerate(CHUNKS):
        np.testing.assert_allclose(received(page, lane), one_pass(model, wave, chunk_ms)[-1], atol=1e-5)
    click(page, "compare")
    assert page.run("streamingWavlm.lanes().length") == 1


def test_what_heads_say_is_seen_and_read_out(page, recording) -> None:
    page.choose("#speed", "Infinity")
    page.give_file(recording)
    page.wait(f"{LANE}.total")
    sections = "[...document.querySelectorAll('.said')]"
    told = page.run(f"{sections}.map((s) => s.querySelector('[data-is=name]').textContent)")
    assert told == list(HEADS)
    answers = page.run(f"{sections}.map((s) => s.querySelector('[data-is=label]').textContent)")
    assert answers[0] in ("yes", "no", "other")
    assert answers[1].count(" · ") == 1
    assert set(answers[2].split()) <= {"SIL", "AA", "B"}
    bars = page.run(f"[...{sections}[0].querySelectorAll('meter')].map((m) => [m.ariaLabel, m.value])")
    assert {name for name, _ in bars} == {"yes", "no", "other"}
    assert sum(share for _, share in bars) == pytest.approx(1, abs=1e-3)
    assert page.run(f"{sections}.map((s) => s.querySelector('[role=status]').ariaLive)") == 4 * ["polite"]
    page.wait(
        f"{sections}.every((s) => s.querySelector('[role=status]').textContent"
        " === s.querySelector('[data-is=label]').textContent)"
    )
    # What is drawn reaches from the first frame to the last, without a gap.
    for row in page.run(f"Object.values({LANE}.heads).flatMap((h) => h.rows.map((r) => r.parts))"):
        assert [part["begin"] for part in row] == [0, *(part["end"] for part in row[:-1])]
        assert row[-1]["end"] == page.run(f"{LANE}.frames")
    drawn = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x)"
    assert all(page.run(f"[...document.querySelectorAll('.track')].map({drawn})"))


def test_a_lost_connection_is_gone_on_with(page, model, wave, recording) -> None:
    page.choose("#speed", "2")
    page.give_file(recording)
    page.wait(f"{LANE}.frames > 20")
    page.run(f"{LANE}.client.socket.close(4000)")  # not a good-bye
    page.wait(f"{LANE}.total")
    assert sum(url.startswith("ws") for url in page.requests) == 2
    np.testing.assert_allclose(received(page), one_pass(model, wave)[-1], atol=1e-5)


def test_colours_are_those_of_the_principal_components(page) -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    frames = (rng.standard_normal((600, 12)) * [5, 3, 2, *[0.1] * 9]) @ axes.T + 4
    basis = page.run(
        "import('/pca.js').then(({ OnlinePca }) => { const pca = new OnlinePca(12);"
        f"const all = Float32Array.from({frames.ravel().tolist()});"
        "for (let at = 0; at < all.length; at += 240) pca.add(all.subarray(at, at + 240));"
        "return pca.basis.map((vector) => Array.from(vector)); })"
    )
    values, vectors = np.linalg.eigh(np.cov(frames.T))
    expected = vectors[:, np.argsort(values)[::-1][:3]].T
    np.testing.assert_allclose(np.abs(np.sum(np.array(basis) * expected, axis=1)), 1, atol=0.01)


def test_the_connection_is_given_back_when_a_file_has_ended(page, server, recording) -> None:
    page.choose("#speed", "Infinity")
    page.give_file(recording)
    page.wait(f"{LANE}.total")
    server.wait(lambda service: service.connections == 0)


def test_time_flows_unless_motion_is_not_wanted(page) -> None:
    page.look(width=1280, height=900, prefers_reduced_motion="no-preference")
    page.run("import('/draw.js').then((module) => { window.leftOf = module.leftOf; })")
    assert page.run("[leftOf(700), leftOf(701)]") == [100, 101]
    page.look(width=1280, height=900, prefers_reduced_motion="reduce")
    assert page.run("[0, 299, 599, 600, 701, 899, 900].map(leftOf)") == [0, 0, 0, 300, 300, 300, 600]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(page, recording, width) -> None:
    page.look(width=width, height=800)
    click(page, "compare")
    page.give_file(recording)
    page.wait("streamingWavlm.lanes().every((lane) => lane.frames > 10)")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    outside = page.run(
        "[...document.querySelectorAll('button, select, canvas, dd, figcaption, .said *')].filter((e) => "
        "e.getBoundingClientRect().right > document.documentElement.clientWidth).map((e) => e.outerHTML)"
    )
    assert outside == []


def test_everything_that_can_be_used_has_a_name_and_the_keyboard_reaches_it(page) -> None:
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    used = {"button", "combobox", "switch", "checkbox", "textbox", "image", "meter"}
    roles = [(node["role"]["value"], node["name"]["value"]) for node in tree if not node.get("ignored")]
    nameless = [role for role, name in roles if role in used and not name.strip()]
    assert nameless == []
    assert {"Record", "Pause", "Reset", "Layer", "Chunk"} <= {name for _, name in roles}
    assert page.run("document.getElementById('status').getAttribute('aria-live')") == "polite"
    reached = []
    for _ in range(9):
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(page.run("document.activeElement.id || document.activeElement.dataset.is"))
    assert [name for name in dict.fromkeys(reached) if name] == [
        "record",
        "file",
        "layer",
        "speed",
        "compare",
        "chunk",
    ]


def test_a_full_server_is_named_in_a_sentence(tab, model, recording) -> None:
    with live(model, streams=1) as small:
        tab.go(small.url)
        tab.wait(f"window.streamingWavlm && {IDLE}")
        tab.choose("#speed", "Infinity")
        with small.service.admitted(Mock()):
            tab.give_file(recording)
            tab.wait(f"{SAID}.startsWith('All streams of this server are taken')")
        tab.give_file(recording)
        tab.wait(f"{LANE}.total")


def test_a_token_is_asked_for_and_used(tab, model, recording) -> None:
    with live(model, access=Access(token="secret")) as closed:
        tab.go(closed.url)
        tab.wait(f"window.streamingWavlm && {IDLE} && !document.getElementById('token-field').hidden")
        tab.choose("#speed", "Infinity")
        tab.give_file(recording)
        tab.wait(f"{SAID} === 'This server wants an access token; enter it above.'")
        tab.run("document.getElementById('token').value = 'wrong'")
        tab.give_file(recording)
        tab.wait(f"{SAID}.includes('did not accept')")
        tab.run("document.getElementById('token').value = 'secret'")
        tab.give_file(recording)
        tab.wait(f"{LANE}.total")


def test_a_microphone_that_is_refused_is_named_in_a_sentence(tab, server) -> None:
    tab.go(server.url)
    tab.wait(f"window.streamingWavlm && {IDLE}")
    tab.run(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    click(tab, "record")
    tab.wait(f"{SAID}.startsWith('The browser may not use the microphone')")
    assert tab.run(IDLE)


def test_a_file_that_is_no_audio_is_named_in_a_sentence(page, tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("no sound at all")
    page.give_file(path)
    page.wait(f"{SAID}.startsWith('words.txt is no audio')")
