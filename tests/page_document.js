// A document whose elements take everything and show nothing, and a server that says what it offers.

const anything = () => new Proxy(function () {}, {
  get(held, name) {
    if (name === Symbol.toPrimitive) return () => "";
    if (name === "then") return undefined;
    if (Object.hasOwn(held, name) && !["name", "length", "prototype"].includes(name)) return held[name];
    return (held[name] = anything());
  },
  set(held, name, value) {
    Object.defineProperty(held, name, { value, writable: true, configurable: true });
    return true;
  },
  apply: anything,
  construct: anything,
});
const elements = {};
globalThis.element = (id) => (elements[id] ??= anything());
globalThis.document = {
  getElementById: element,
  createElement: anything,
  body: { dataset: {}, classList: { toggle() {}, add() {}, remove() {} } },
  documentElement: anything(),
};
Object.assign(element("token"), { value: "" });
Object.assign(element("sentence"), { textContent: "" });
Object.assign(element("lanes"), { append() {} });
Object.assign(element("layer"), { value: "1" });
Object.assign(element("speed"), { value: "1" });
globalThis.Option = class {};
globalThis.devicePixelRatio = 1;
globalThis.matchMedia = () => ({ matches: false });
globalThis.getComputedStyle = () => ({ getPropertyValue: () => "" });
globalThis.requestAnimationFrame = () => 0;
globalThis.addEventListener = () => {};
globalThis.fetch = async () => ({
  json: async () => ({ status: "ok", chunk_ms: [400], num_layers: 2, heads: [], token: true, free: 1 }),
});
// A file of one second.
globalThis.OfflineAudioContext = class {
  async decodeAudioData() {
    return { length: 16000, numberOfChannels: 1, getChannelData: () => new Float32Array(16000) };
  }
};
globalThis.sound = { name: "a.wav", arrayBuffer: async () => new ArrayBuffer(8) };
globalThis.sentence = () => element("sentence").textContent;
