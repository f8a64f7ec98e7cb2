// What a server may not have yet of the streams that are sent to it, to be said again after a lost connection.

const KEEP_SECONDS = 120; // of audio, for a server that lost some
const HELD_BACK_SECONDS = 1.5; // by the server's resampler and last frame

export class Outgoing {
  constructor(rate) {
    [this.rate, this.number] = [rate, 0]; // the number of the stream that is sent
    this.streams = new Map();
    this.open();
  }

  open() { this.streams.set(this.number, { begin: 0, end: 0, packets: [], flushed: false }); }

  add(packet) {
    const stream = this.streams.get(this.number);
    stream.packets.push(packet);
    stream.end += packet.length;
    this.forget(stream, stream.end - KEEP_SECONDS * this.rate);
  }

  flush() { // returns the number of the stream
    this.streams.get(this.number).flushed = true;
    this.number++;
    this.open();
    return this.number - 1;
  }

  reset() {
    this.streams.clear();
    this.number++;
    this.open();
  }

  // The features of a stream are here up to a time.
  heard(number, seconds) { this.forget(this.streams.get(number), (seconds - HELD_BACK_SECONDS) * this.rate); }

  ended(number) { this.streams.delete(number); }

  forget(stream, before) {
    while (stream?.packets.length && stream.begin + stream.packets[0].length <= before) {
      stream.begin += stream.packets.shift().length;
    }
  }

  // What the server has not got, by its ready: packets, and the number of a stream that is to be flushed. A server
  // that is at the end of a stream has got its flush, and would end another with a second.
  again({ stream: first, samples, ending }) {
    const said = [];
    for (const [number, { begin, packets, flushed }] of this.streams) {
      if (number < first) continue;
      const taken = number === first ? samples : 0;
      if (taken < begin) throw new Error("the connection was lost for too long: its audio is no longer kept");
      let at = begin;
      for (const packet of packets) {
        if (at + packet.length > taken) said.push(packet.subarray(Math.max(0, taken - at)));
        at += packet.length;
      }
      if (flushed && !(number === first && ending)) said.push(number);
    }
    return said;
  }
}
