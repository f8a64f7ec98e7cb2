// The sound of the last seconds: to draw it, and to tell it to a stream that begins later.

export const FRAMES_PER_SECOND = 50;
export const WINDOW_SECONDS = 12; // that are seen at a time
export const WINDOW = WINDOW_SECONDS * FRAMES_PER_SECOND;
const KEEP_SECONDS = WINDOW_SECONDS;

export class Tape {
  constructor(rate = 16000) {
    this.clear(rate);
  }

  clear(rate = this.rate) {
    this.rate = rate;
    this.samples = 0; // heard so far
    this.packets = [];
    this.begin = 0; // the first sample that is kept
    this.low = new Float32Array(WINDOW);
    this.high = new Float32Array(WINDOW);
    this.column = -1;
  }

  get seconds() { return this.samples / this.rate; }

  // In frames of features.
  get end() { return this.seconds * FRAMES_PER_SECOND; }

  get firstFrame() { return (this.begin / this.rate) * FRAMES_PER_SECOND; }

  add(packet) {
    this.packets.push(packet);
    for (let i = 0; i < packet.length; i++) {
      const column = Math.floor(((this.samples + i) * FRAMES_PER_SECOND) / this.rate);
      const at = column % WINDOW;
      if (column !== this.column) this.low[at] = this.high[at] = 0;
      this.column = column;
      if (packet[i] < this.low[at]) this.low[at] = packet[i];
      if (packet[i] > this.high[at]) this.high[at] = packet[i];
    }
    this.samples += packet.length;
    while (this.samples - this.begin - this.packets[0].length > KEEP_SECONDS * this.rate) {
      this.begin += this.packets.shift().length;
    }
  }
}
