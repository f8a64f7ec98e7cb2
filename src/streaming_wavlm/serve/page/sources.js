// Where sound comes from: a microphone, or a file. Each has a rate and calls onsamples; a file calls onend.

const FILE_RATE = 16000; // the model's: the browser resamples while it decodes
const FAST_SECONDS = 0.5; // of a file that goes as fast as possible, at a time
const FAST_BYTES = 1_000_000; // that may wait for the network

export class Microphone {
  static async open() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give the microphone only to https pages and to localhost; choose a file instead.");
    }
    const stream = await navigator.mediaDevices
      .getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } })
      .catch((error) => { throw new Error(sentence(error)); });
    let context = null;
    try {
      context = new AudioContext();
      await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
    } catch (error) { // the device is not to stay on for nobody
      stream.getTracks().forEach((track) => track.stop());
      context?.close();
      throw new Error(sentence(error));
    }
    return new Microphone(context, stream);
  }

  constructor(context, stream) {
    [this.name, this.rate, this.context, this.stream] = ["microphone", context.sampleRate, context, stream];
    this.onsamples = this.onend = () => {};
  }

  start() {
    const node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => this.onsamples(data);
    this.context.createMediaStreamSource(this.stream).connect(node);
    this.stream.getAudioTracks()[0].onended = () => this.onend();
    return this.context.resume();
  }

  pause(paused) { return paused ? this.context.suspend() : this.context.resume(); }

  rewind() {}

  stop() {
    this.onsamples = this.onend = () => {};
    this.stream.getTracks().forEach((track) => track.stop());
    return this.context.close();
  }
}

export class AudioFile {
  // speed: a multiple of real time, or Infinity.
  static async open(file, speed) {
    const decoder = new OfflineAudioContext(1, 1, FILE_RATE);
    const audio = await decoder.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new Error(`${file.name} is no audio that this browser can read; try a WAV, MP3, Ogg or FLAC file.`);
    });
    const samples = new Float32Array(audio.length);
    for (let channel = 0; channel < audio.numberOfChannels; channel++) {
      audio.getChannelData(channel).forEach((x, i) => { samples[i] += x / audio.numberOfChannels; });
    }
    return new AudioFile(file.name, samples, speed);
  }

  constructor(name, samples, speed) {
    [this.name, this.rate, this.samples, this.speed] = [name, FILE_RATE, samples, speed];
    this.onsamples = this.onend = () => {};
    this.waiting = () => 0; // bytes that the network has not taken yet
    this.at = 0;
  }

  start() {
    this.last = performance.now();
    this.due = 0;
    this.timer = setInterval(() => this.go(), 20);
  }

  go() {
    const now = performance.now();
    this.due += ((now - this.last) / 1000) * this.rate * this.speed;
    this.last = now;
    if (this.speed === Infinity) this.due = this.waiting() < FAST_BYTES ? this.at + FAST_SECONDS * this.rate : this.at;
    const end = Math.min(this.samples.length, Math.floor(this.due));
    if (end > this.at) this.onsamples(this.samples.subarray(this.at, end));
    this.at = Math.max(this.at, end);
    if (this.at === this.samples.length) {
      clearInterval(this.timer);
      this.onend();
    }
  }

  pause(paused) {
    clearInterval(this.timer);
    this.last = performance.now();
    if (!paused) this.timer = setInterval(() => this.go(), 20);
  }

  rewind() { [this.at, this.due] = [0, 0]; }

  stop() {
    this.onsamples = this.onend = () => {};
    clearInterval(this.timer);
  }
}

function sentence(error) {
  if (error.name === "NotAllowedError") return "The browser may not use the microphone: allow it beside the address, or choose a file.";
  if (error.name === "NotFoundError") return "There is no microphone here; connect one, or choose a file.";
  return `The microphone cannot be opened (${error.message}); is another program using it?`;
}
