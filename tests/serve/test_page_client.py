"""The page's client, in Node: what it says to a server that it lost and found again."""

from __future__ import annotations

import pytest

import page_node

pytestmark = pytest.mark.skipif(not page_node.found(), reason="no Node is installed")

CLIENT = """
const { LiveClient } = await import("./client.js");
const client = new LiveClient({ hello: { encoding: "float32", layers: [0] } });
opened(sockets[0]);
ready(sockets[0]);
"""


def test_a_flush_that_the_server_has_is_not_said_again(tmp_path) -> None:
    back = """
        client.send(new Float32Array(1600));
        client.flush();
        lost(sockets[0]);
        await pass(300);
        opened(sockets[1]);
        ready(sockets[1], { samples: 1600, %s });
        return sockets.map((socket) => texts(socket).filter(({ type }) => type === "flush"));
    """
    said = [{"type": "flush", "stream": 0}]
    assert page_node.run(tmp_path, CLIENT + back % "ending: true") == [said, []]
    assert page_node.run(tmp_path, CLIENT + back % "ending: false") == [said, said]
    assert page_node.run(tmp_path, CLIENT + back % "") == [said, said]  # an older server


def test_the_end_of_a_stream_that_goes_on_is_passed_over(tmp_path) -> None:
    seen = page_node.run(
        tmp_path,
        CLIENT
        + """
        const ends = [];
        client.onmessage = (message) => { if (message.type === "end") ends.push(message.stream); };
        client.flush();
        for (const stream of [0, 1, 7]) told(sockets[0], { type: "end", stream });
        client.send(new Float32Array(1600));
        return { ends, stream: client.stream, sent: audio(sockets[0]).length };
        """,
    )
    assert seen == {"ends": [0], "stream": 1, "sent": 1}


def test_a_reset_while_the_connection_is_lost_begins_another_stream(tmp_path) -> None:
    reset = """
        client.send(new Float32Array(1600));
        lost(sockets[0]);
        await pass(%d);
        client.reset();
        client.send(new Float32Array(3200).fill(1));
        await pass(5000);
        const back = sockets.at(-1);
        opened(back);
        if (sockets[1] !== back) { opened(sockets[1]); sockets[1].onclose({ code: 1000, reason: "" }); }
        ready(back);
        await pass(5000);
        const [hello] = texts(back);
        const said = audio(back).reduce((sum, packet) => sum + packet.length, 0);
        return { token: hello.token ?? null, said, stream: client.stream, sockets: sockets.length };
    """
    fresh = {"token": None, "said": 3200, "stream": 0}
    assert page_node.run(tmp_path, CLIENT + reset % 0) == {**fresh, "sockets": 2}  # before it dials
    assert page_node.run(tmp_path, CLIENT + reset % 300) == {**fresh, "sockets": 3}  # while it connects


def test_a_reset_does_not_take_patience_from_a_client_that_has_lost_its_server(tmp_path) -> None:
    seen = page_node.run(
        tmp_path,
        CLIENT
        + """
        const states = [];
        client.onstate = (state) => states.push(state);
        lost(sockets[0]);
        client.reset();
        await pass(300);
        lost(sockets[1]);
        await pass(300);
        client.close();
        client.reset();
        await pass(5000);
        return states;
        """,
    )
    assert seen == ["lost", "connecting", "lost", "connecting"]


def test_a_file_that_goes_as_fast_as_possible_waits_for_a_lost_connection(tmp_path) -> None:
    seconds = page_node.run(
        tmp_path,
        CLIENT
        + """
        const { AudioFile } = await import("./sources.js");
        const file = new AudioFile("a.wav", new Float32Array(16000 * 3600), Infinity);
        file.waiting = () => client.waiting;
        file.onsamples = (packet) => client.send(packet);
        file.start();
        const places = [];
        const later = async (ms) => { await pass(ms); places.push(file.at / 16000); };
        await later(200);
        lost(sockets[0]);
        await later(5000);
        opened(sockets.at(-1));
        ready(sockets.at(-1), { samples: file.at });
        await later(200);
        client.close();
        file.stop();
        return places;
        """,
    )
    before, meanwhile, after = seconds
    assert 0 < before == meanwhile < after
