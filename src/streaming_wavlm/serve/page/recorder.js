// In the audio thread: collects 20 ms of the microphone, at the device's own rate, and hands them over.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.packet = new Float32Array(Math.round(sampleRate / 50));
    this.filled = 0;
  }

  process([channels]) {
    const samples = channels[0];
    for (let at = 0; samples && at < samples.length;) {
      const part = samples.subarray(at, at + this.packet.length - this.filled);
      this.packet.set(part, this.filled);
      this.filled += part.length;
      at += part.length;
      if (this.filled === this.packet.length) {
        this.port.postMessage(this.packet.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
