// What a stream's features look like: their colours, and how they resemble those before them.

import { Columns, fresh, leftOf, theme } from "./draw.js";
import { OnlinePca, colour } from "./pca.js";
import { WINDOW } from "./tape.js";

const LAGS = 150; // frames back that a frame is compared with: 3 s

export class History {
  constructor(dim) {
    this.pca = new OnlinePca(dim);
    this.dim = dim;
    this.recent = new Float32Array(WINDOW * dim);
    this.colours = new Columns(1);
    this.likeness = new Columns(LAGS);
    this.end = 0;
    this.painted = null; // with which axes, and how much of it
  }

  // frames: [count, dim], the next of the stream.
  add(frames) {
    this.pca.add(frames);
    for (let at = 0; at < frames.length; at += this.dim) {
      this.recent.set(frames.subarray(at, at + this.dim), (this.end % WINDOW) * this.dim);
      this.likeness.put(this.end, this.compared(this.end));
      this.end++;
    }
  }

  // One column: how the frame resembles those before it, the nearest on top, as opacity.
  compared(frame) {
    const image = new ImageData(1, LAGS);
    const own = this.centred(frame);
    for (let lag = 1; lag <= Math.min(LAGS, frame); lag++) {
      const other = this.centred(frame - lag);
      let [both, mine, theirs] = [0, 1e-12, 1e-12];
      for (let i = 0; i < this.dim; i++) {
        both += own[i] * other[i];
        mine += own[i] * own[i];
        theirs += other[i] * other[i];
      }
      image.data[4 * lag - 1] = 255 * Math.max(0, both / Math.sqrt(mine * theirs));
    }
    return image;
  }

  centred(frame) {
    const at = (frame % WINDOW) * this.dim;
    const result = this.recent.slice(at, at + this.dim);
    for (let i = 0; i < this.dim; i++) result[i] -= this.pca.mean[i];
    return result;
  }

  // The axes move while more is heard, so all that is seen is coloured by the newest ones.
  recolour(pca) {
    const state = [pca, pca.count, this.end];
    if (this.painted?.every((value, i) => value === state[i])) return;
    this.painted = state;
    for (let frame = Math.max(0, this.end - WINDOW); frame < this.end; frame++) {
      const [red, green, blue] = colour(pca.project(this.recent, (frame % WINDOW) * this.dim));
      this.colours.put(frame, new ImageData(new Uint8ClampedArray([red, green, blue, 255]), 1, 1));
    }
  }

  draw(strip, band, now, offset, pca = this.pca) {
    this.recolour(pca);
    const left = leftOf(now);
    this.colours.draw(fresh(strip), left, offset);
    const place = fresh(band);
    this.likeness.draw(place, left, offset);
    place.context.globalCompositeOperation = "source-in";
    place.context.fillStyle = theme("--accent");
    place.context.fillRect(0, 0, place.width, place.height);
    place.context.globalCompositeOperation = "source-over";
  }
}
