// Canvases that share one axis of time, counted in frames.

import { FRAMES_PER_SECOND, WINDOW } from "./tape.js";

const HALF = WINDOW / 2;
const still = matchMedia("(prefers-reduced-motion: reduce)");

// The first frame that is seen: time flows to the left, or, where motion is not wanted, goes on half a page at a time.
export function leftOf(end) {
  return still.matches ? Math.max(0, Math.floor(end / HALF) - 1) * HALF : end - WINDOW;
}

export function theme(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Clears a canvas, fitted to its place on the page, and returns its context and its size in CSS pixels.
export function fresh(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export function drawWave(canvas, tape) {
  const { context, width, height } = fresh(canvas);
  const [left, scale, room] = [leftOf(tape.end), width / WINDOW, height - 20];
  context.fillStyle = theme("--line");
  context.fillRect(0, room / 2, width, 1);
  context.fillStyle = theme("--accent");
  const last = Math.ceil(tape.end);
  for (let i = Math.max(0, Math.floor(left), last - WINDOW); i < last; i++) {
    const [low, high] = [loud(tape.low[i % WINDOW]), loud(tape.high[i % WINDOW])];
    const y = (room / 2) * (1 - high);
    context.fillRect((i - left) * scale, y, Math.max(scale * 0.75, 1), Math.max(1, (room / 2) * (high - low)));
  }
  drawSeconds(context, left, scale, width, height);
}

// Quiet speech is to be seen, too.
const loud = (x) => Math.sign(x) * Math.min(1, Math.abs(x)) ** 0.6;

function drawSeconds(context, left, scale, width, height) {
  context.fillStyle = theme("--soft");
  context.font = "12px ui-monospace, monospace";
  context.textAlign = "center";
  const step = width < 480 ? 3 : 1;
  for (let second = Math.max(0, Math.ceil(left / FRAMES_PER_SECOND)); ; second++) {
    const x = (second * FRAMES_PER_SECOND - left) * scale;
    if (x > width - 14) return;
    if (second % step === 0 && x > 14) context.fillText(`${second} s`, x, height - 3);
  }
}

// A picture of the last WINDOW frames, one column each, on a canvas that is not seen.
export class Columns {
  constructor(height) {
    this.canvas = Object.assign(document.createElement("canvas"), { width: WINDOW, height });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
  }

  clear() {
    this.context.clearRect(0, 0, WINDOW, this.canvas.height);
    this.end = 0;
  }

  put(frame, image) {
    this.context.putImageData(image, frame % WINDOW, 0);
    this.end = Math.max(this.end, frame + 1);
  }

  // offset: the frame of the page at which this stream's first frame is.
  draw({ context, width, height }, left, offset) {
    const [scale, first] = [width / WINDOW, Math.max(0, this.end - WINDOW, Math.floor(left - offset))];
    context.imageSmoothingEnabled = true;
    for (let at = first; at < this.end;) {
      const run = Math.min(this.end - at, WINDOW - (at % WINDOW));
      const x = (at + offset - left) * scale;
      context.drawImage(this.canvas, at % WINDOW, 0, run, this.canvas.height, x, 0, run * scale, height);
      at += run;
    }
  }
}
