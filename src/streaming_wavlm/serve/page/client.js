// A client of a live server, protocol 1. With features.js and outgoing.js it needs nothing else.
//
//   import { LiveClient } from "./client.js";
//   const client = new LiveClient({ hello: { sample_rate: 48000, encoding: "float32", layers: [-1] } });
//   client.onfeatures = ({ array, layers, frames, dim, pooled, stream, position, computeUs }) => …;
//   client.onmessage = (message) => …;         // ready, stats, warning, head, pong, reset, end
//   client.onstate = (state, sentence) => …;   // connecting, open, lost, failed, closed
//   client.send(float32Samples); client.flush(); client.close();
//
// After a lost connection it comes back with its token and sends what the server has not got.

import { unpack } from "./features.js";
import { Outgoing } from "./outgoing.js";

export const PROTOCOL = 1;
export const PATH = "/v1/stream";
const RETRIES = 7;
const PART = 16384; // samples in a message

const flushOf = (stream) => JSON.stringify({ type: "flush", stream });

export class LiveClient {
  constructor({ url = new URL(`.${PATH}`, location.href).href, hello = {}, bearer = null } = {}) {
    this.url = url.replace(/^http/, "ws");
    this.hello = { sample_rate: 16000, encoding: "pcm16", ...hello };
    this.protocols = bearer ? [`bearer.${bearer}`] : [];
    this.onfeatures = this.onmessage = this.onstate = () => {};
    this.ready = null;
    this.met = false; // whether there was a server
    this.begin();
    this.connect();
  }

  // Bytes that the network has not taken yet; without a connection there is no room for any.
  get waiting() {
    if (this.done) return 0;
    return this.open ? this.socket.bufferedAmount : Infinity;
  }

  send(samples) {
    for (let at = 0; at < samples.length; at += PART) this.sendPart(samples.subarray(at, at + PART));
  }

  flush() { this.say(flushOf(this.outgoing.flush())); }

  reset() {
    if (this.done) return undefined;
    if (!this.open) { // the server need not hear of a stream that is not wanted: begin anew
      const asked = this.ready !== null && this.socket.readyState <= WebSocket.OPEN; // for the old stream
      this.ready = null;
      this.begin();
      if (!asked) return undefined;
      this.socket.close(1000);
      return this.connect();
    }
    this.outgoing.reset();
    [this.stream, this.position] = [this.outgoing.number, 0];
    return this.say(JSON.stringify({ type: "reset" }));
  }

  ping() { this.say(JSON.stringify({ type: "ping", time: performance.now() })); }

  close() {
    this.done = true;
    clearTimeout(this.timer);
    this.socket.close(1000);
  }

  // — what follows is its own —

  begin() {
    [this.open, this.done, this.attempt, this.failure] = [false, false, 0, null];
    [this.stream, this.position, this.heard] = [0, 0, {}]; // what is due, and the last that each head said
    this.outgoing = new Outgoing(this.hello.sample_rate);
  }

  connect() {
    const socket = new WebSocket(this.url, this.protocols);
    const resumed = this.ready && { token: this.ready.token, stream: this.stream, received: this.position };
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(
      JSON.stringify({ type: "hello", protocol: PROTOCOL, ...this.hello, ...resumed }));
    socket.onmessage = ({ data }) => socket === this.socket && this.take(data);
    socket.onclose = ({ code, reason }) => socket === this.socket && this.closed(code, reason);
    this.socket = socket;
    this.onstate("connecting");
  }

  say(data) { // otherwise it is said when the server is ready
    if (this.open && this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  sendPart(samples) {
    const packet = this.hello.encoding === "float32"
      ? Float32Array.from(samples)
      : Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))));
    this.outgoing.add(packet);
    this.say(packet);
  }

  take(data) {
    if (data instanceof ArrayBuffer) {
      const features = unpack(data);
      if (features.stream !== this.stream || features.position !== this.position) return; // known, or dropped
      this.position += features.frames;
      this.outgoing.heard(this.stream, (this.position * this.ready.frame_ms) / 1000);
      this.onfeatures(features);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "error") this.failure = message;
    if (message.type === "ready") this.again(message);
    if (message.type === "head") { // once only, and of the stream that is wanted
      const { name, stream, position } = message;
      if (stream !== this.stream || (this.heard[name]?.stream === stream && this.heard[name].position >= position)) return;
      this.heard[name] = message;
    }
    if (message.type === "end") {
      // An older server, told twice of a flush, also ends a stream that nobody has ended.
      if (message.stream !== this.stream || message.stream >= this.outgoing.number) return;
      this.outgoing.ended(this.stream++);
      this.position = 0;
    }
    this.onmessage(message);
  }

  again(ready) { // the beginning, or the way back: say what the server has not got
    const resumed = this.ready !== null;
    [this.ready, this.met, this.open, this.attempt, this.failure] = [ready, true, true, 0, null];
    this.ping(); // before sound fills the way
    try {
      for (const data of this.outgoing.again(ready)) this.say(typeof data === "number" ? flushOf(data) : data);
    } catch (error) {
      return this.fail(error.message);
    }
    return this.onstate("open", resumed ? "Connected again; nothing was lost." : "");
  }

  closed(code, reason) {
    this.open = false;
    if (this.done) return this.onstate("closed");
    if (this.failure && !this.failure.resumable) return this.fail(this.failure.reason);
    if (!this.met) return this.fail(reason || "no connection to the server");
    if (this.attempt >= RETRIES) return this.fail("the connection is lost, and the server does not answer");
    this.timer = setTimeout(() => this.connect(), 200 * 2 ** this.attempt++);
    return this.onstate("lost", reason || `the connection broke (${code})`);
  }

  fail(sentence) {
    [this.done, this.open] = [true, false];
    this.socket.close();
    this.onstate("failed", sentence);
  }
}
