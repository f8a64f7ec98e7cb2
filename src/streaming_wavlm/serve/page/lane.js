// One stream and what the page shows of it.

import { LiveClient } from "./client.js";
import { fresh } from "./draw.js";
import { HeadView } from "./head.js";
import { History } from "./history.js";
import { npy, save } from "./npy.js";
import { FRAMES_PER_SECOND } from "./tape.js";

const KEEP_FRAMES = 30_000; // of features for the download: ten minutes
const PING_MS = 1000;
const PATIENCE = 2.5; // seconds that features may be behind the sound before it is said

export class Lane {
  // onstate(state, sentence): what became of its connection.
  constructor(letter, { chunk_ms: chunks, heads = [] }, onstate) {
    this.root = document.getElementById("lane").content.firstElementChild.cloneNode(true);
    this.find = (name) => this.root.querySelector(`[data-is="${name}"]`);
    this.find("title").textContent = `Stream ${letter}`;
    this.find("title").id = `stream-${letter}`;
    this.root.setAttribute("aria-labelledby", `stream-${letter}`);
    this.chunk = this.find("chunk");
    this.chunk.replaceChildren(...chunks.map((ms) => new Option(`${ms} ms`, ms)));
    this.onstate = onstate;
    this.wanted = heads.map(({ name }) => name);
    this.state = "none";
    this.find("save").onclick = () => save(npy(this.blocks, this.dim), `features-layer-${this.layer}-${this.chunk.value}ms.npy`);
    this.clear();
  }

  // Begins a stream with the sound that is on the tape.
  start(tape, layer, bearer) {
    this.stop();
    this.clear();
    [this.layer, this.offset, this.rate] = [layer, tape.firstFrame, tape.rate];
    const hello = { sample_rate: tape.rate, encoding: "float32", layers: [layer], chunk_ms: Number(this.chunk.value) };
    if (this.wanted.length) hello.heads = this.wanted;
    this.client = new LiveClient({ hello, bearer });
    this.client.onfeatures = (features) => this.take(features);
    this.client.onmessage = (message) => this.hear(message);
    this.client.onstate = (state, sentence) => {
      this.state = state;
      this.onstate(state, sentence);
    };
    tape.packets.forEach((packet) => this.client.send(packet));
    this.timer = setInterval(() => this.client.ping(), PING_MS);
  }

  send(packet) { this.client?.send(packet); }

  flush() { this.client?.flush(); }

  // The stream begins anew on the same connection.
  reset() {
    this.client?.reset();
    this.clear();
    this.offset = 0;
  }

  stop() {
    clearInterval(this.timer);
    if (this.client) this.client.onstate = () => {};
    this.client?.close();
    this.client = null;
  }

  clear() {
    [this.history, this.blocks, this.kept] = [null, [], 0];
    [this.dim, this.frames, this.offset] = [0, 0, 0];
    [this.computed, this.trips, this.total] = [[], [], null];
    this.heads = {};
    this.find("heads").replaceChildren();
    this.find("heads").hidden = true;
    this.find("save").disabled = true;
    this.numbers();
  }

  take({ array, dim, frames, computeUs }) {
    this.history ??= new History(dim);
    this.dim = dim;
    this.frames += frames;
    this.blocks.push(array);
    for (this.kept += frames; this.kept > KEEP_FRAMES;) this.kept -= this.blocks.shift().length / dim;
    this.computed = [...this.computed, computeUs / 1000].slice(-100);
    this.history.add(array);
    this.find("save").disabled = false;
  }

  hear(message) {
    if (message.type === "pong") this.trips = [...this.trips, performance.now() - message.time].slice(-9);
    if (message.type === "end") { // nothing more comes: leave the place to somebody else
      this.total = message;
      clearInterval(this.timer);
      this.client.close();
    }
    if (message.type === "head") this.hearHead(message);
    if (message.type === "warning") this.onstate("warning", message.reason);
  }

  hearHead(message) {
    const place = this.find("heads");
    place.hidden = false;
    const described = this.client.ready.heads.find(({ name }) => name === message.name);
    this.heads[message.name] ??= new HeadView(described, place);
    this.heads[message.name].hear(message);
  }

  // What takes how long from a sound to its feature.
  numbers(now = 0) {
    const behind = this.state === "open" && this.client ? (now - this.frames - this.offset) / FRAMES_PER_SECOND : 0;
    this.find("behind").textContent = behind > PATIENCE ? `${behind.toFixed(0)} s behind the sound; reset catches up` : "";
    const ready = this.client?.ready;
    const parts = { algorithmic: ready?.latency_ms, compute: rank(this.computed, 0.5), network: rank(this.trips, 0.5) };
    for (const [name, ms] of Object.entries(parts)) {
      this.find(name).textContent = ms === undefined ? "–" : milliseconds(ms);
      this.find(`bar-${name}`).style.flexGrow = ms ?? 0;
    }
    const slow = rank(this.computed, 0.95);
    this.find("slow").textContent = slow === undefined ? "" : `95 % within ${milliseconds(slow)}`;
    const known = Object.values(parts).every((ms) => ms !== undefined);
    this.find("sum").textContent = known
      ? milliseconds(Object.values(parts).reduce((sum, ms) => sum + ms)) : "–";
    this.find("count").textContent = this.frames ? `${this.frames} frames of ${this.dim}` : "no features yet";
  }

  // pca: whose axes colour the strip; of another stream, so that the two can be compared.
  draw(now, pca) {
    Object.values(this.heads).forEach((head) => head.draw(now, this.offset));
    if (this.history) return this.history.draw(this.find("strip"), this.find("band"), now, this.offset, pca);
    fresh(this.find("strip"));
    return fresh(this.find("band"));
  }
}

function rank(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

const milliseconds = (ms) => `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
