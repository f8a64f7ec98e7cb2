// A client of a live server, protocol 1. It needs nothing else: import { LiveClient } from "./client.js".
//
//   const client = new LiveClient({ hello: { sample_rate: 48000, encoding: "float32", layers: [-1] } });
//   client.onfeatures = ({ array, layers, frames, dim, stream, position, computeUs }) => …;
//   client.onmessage = (message) => …;         // ready, stats, head, pong, reset, end
//   client.onstate = (state, sentence) => …;   // connecting, open, lost, failed, closed
//   client.send(float32Samples); client.flush(); client.close();
//
// After a lost connection it comes back with its token and sends what the server has not got.

export const PROTOCOL = 1;
export const PATH = "/v1/stream";
// Where the fields of a feature message begin, little-endian.
export const HEADER = {
  magic: "SWF1", type: 4, layers: 6, dim: 8, frames: 12, stream: 16, position: 20, compute: 28, bytes: 32,
};
const KEEP_SECONDS = 120; // of audio, for a server that lost some
const HELD_BACK_SECONDS = 1.5; // by the server's resampler and last frame
const RETRIES = 7;
const PART = 16384; // samples in a message

const half = (bits) => {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return (bits >> 15 ? -1 : 1) * (exponent === 31 ? (fraction ? NaN : Infinity) : size);
};

export function unpack(buffer) {
  const view = new DataView(buffer);
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  const number = (at) => view.getUint32(at, true);
  if (magic !== HEADER.magic) throw new Error(`features begin with ${HEADER.magic}, got ${magic}`);
  const array = view.getUint8(HEADER.type) === 0
    ? new Float32Array(buffer, HEADER.bytes)
    : Float32Array.from(new Uint16Array(buffer, HEADER.bytes), half);
  return {
    array, layers: view.getUint16(HEADER.layers, true), dim: number(HEADER.dim), frames: number(HEADER.frames),
    stream: number(HEADER.stream), position: Number(view.getBigUint64(HEADER.position, true)),
    computeUs: number(HEADER.compute),
  };
}

export class LiveClient {
  constructor({ url = new URL(`.${PATH}`, location.href).href, hello = {}, bearer = null } = {}) {
    this.url = url.replace(/^http/, "ws");
    this.hello = { sample_rate: 16000, encoding: "pcm16", ...hello };
    this.protocols = bearer ? [`bearer.${bearer}`] : [];
    this.onfeatures = this.onmessage = this.onstate = () => {};
    this.ready = null;
    this.begin();
    this.connect();
  }

  get waiting() { return this.socket.bufferedAmount; } // bytes that the network has not taken yet

  send(samples) {
    for (let at = 0; at < samples.length; at += PART) this.sendPart(samples.subarray(at, at + PART));
  }

  flush() {
    this.outgoing.get(this.sending).flushed = true;
    this.say(JSON.stringify({ type: "flush" }));
    this.outgoing.set(++this.sending, { begin: 0, end: 0, packets: [], flushed: false });
  }

  reset() {
    if (!this.open) { // the server need not hear of a stream that is not wanted: begin anew
      this.ready = null;
      return this.begin();
    }
    this.outgoing.clear();
    this.outgoing.set(++this.sending, { begin: 0, end: 0, packets: [], flushed: false });
    [this.stream, this.position] = [this.sending, 0];
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
    [this.sending, this.stream, this.position] = [0, 0, 0]; // what is sent, and what is due
    this.heard = {}; // the last that each head said
    this.outgoing = new Map([[0, { begin: 0, end: 0, packets: [], flushed: false }]]);
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
    const outgoing = this.outgoing.get(this.sending);
    outgoing.packets.push(packet);
    outgoing.end += packet.length;
    this.forget(outgoing, outgoing.end - KEEP_SECONDS * this.hello.sample_rate);
    this.say(packet);
  }

  forget(outgoing, before) {
    while (outgoing?.packets.length && outgoing.begin + outgoing.packets[0].length <= before) {
      outgoing.begin += outgoing.packets.shift().length;
    }
  }

  take(data) {
    if (data instanceof ArrayBuffer) {
      const features = unpack(data);
      if (features.stream !== this.stream || features.position !== this.position) return; // known, or dropped
      this.position += features.frames;
      const heard = (this.position * this.ready.frame_ms) / 1000 - HELD_BACK_SECONDS;
      this.forget(this.outgoing.get(this.stream), heard * this.hello.sample_rate);
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
      if (message.stream !== this.stream) return;
      this.outgoing.delete(this.stream++);
      this.position = 0;
    }
    this.onmessage(message);
  }

  again(ready) { // the beginning, or the way back: say what the server has not got
    const resumed = this.ready !== null;
    [this.ready, this.open, this.attempt, this.failure] = [ready, true, 0, null];
    this.ping(); // before sound fills the way
    for (const [number, outgoing] of this.outgoing) {
      if (number < ready.stream) continue;
      const taken = number === ready.stream ? ready.samples : 0;
      if (taken < outgoing.begin) return this.fail("the connection was lost for too long: its audio is no longer kept");
      let at = outgoing.begin;
      for (const packet of outgoing.packets) {
        if (at + packet.length > taken) this.say(packet.subarray(Math.max(0, taken - at)));
        at += packet.length;
      }
      if (outgoing.flushed) this.say(JSON.stringify({ type: "flush" }));
    }
    return this.onstate("open", resumed ? "Connected again; nothing was lost." : "");
  }

  closed(code, reason) {
    this.open = false;
    if (this.done) return this.onstate("closed");
    if (this.failure && !this.failure.resumable) return this.fail(this.failure.reason);
    if (!this.ready) return this.fail(reason || "no connection to the server");
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
