// What the page's scripts use of a browser, as little of it as they do. Sockets do nothing by themselves: `sockets` are
// those that were made, and `opened`, `told` and `lost` are what becomes of one.

globalThis.window = globalThis;
globalThis.location = { href: "http://127.0.0.1:8765/", hash: "" };
globalThis.sockets = [];
globalThis.WebSocket = class {
  static OPEN = 1;
  constructor(url, protocols = []) {
    for (const name of protocols) { // as the standard wants it
      if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw new DOMException(`'${name}' is invalid`, "SyntaxError");
    }
    Object.assign(this, { protocols, readyState: 0, sent: [], bufferedAmount: 0, closed: null });
    sockets.push(this);
  }
  send(data) { this.sent.push(data); }
  close(code) { [this.readyState, this.closed] = [3, code ?? 1005]; }
};
globalThis.opened = (socket) => { socket.readyState = 1; socket.onopen(); };
globalThis.told = (socket, message) => socket.onmessage({ data: JSON.stringify(message) });
globalThis.ready = (socket, more) =>
  told(socket, { type: "ready", token: "t", stream: 0, samples: 0, position: 0, frame_ms: 20, ...more });
globalThis.lost = (socket) => { socket.readyState = 3; socket.onclose({ code: 1006, reason: "" }); };
globalThis.texts = (socket) => socket.sent.filter((data) => typeof data === "string").map((data) => JSON.parse(data));
globalThis.audio = (socket) => socket.sent.filter((data) => typeof data !== "string");
// Time that a test lets pass: what was to happen by then happens, in its order.
globalThis.now = 0;
const timers = new Map();
let last = 0;
const timer = (run, ms, every) => { timers.set(++last, { run, due: now + ms, every }); return last; };
globalThis.setTimeout = (run, ms = 0) => timer(run, ms, 0);
globalThis.setInterval = (run, ms) => timer(run, ms, ms);
globalThis.clearTimeout = globalThis.clearInterval = (number) => timers.delete(number);
performance.now = () => now;
globalThis.pass = async (ms) => {
  for (const end = now + ms; ;) {
    for (let i = 0; i < 50; i++) await null; // promises that are kept
    const [number, next] = [...timers].sort((a, b) => a[1].due - b[1].due)[0] ?? [];
    if (!next || next.due > end) { now = end; return; }
    now = next.due;
    if (next.every) next.due += next.every; else timers.delete(number);
    next.run();
  }
};
