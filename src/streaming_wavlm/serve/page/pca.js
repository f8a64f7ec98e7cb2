// Principal components of what was heard so far, and colours of them.

const COMPONENTS = 3;
const MEMORY = 3000; // frames: after a minute the old is slowly forgotten
const SPREAD = 2; // standard deviations that reach the end of the colours

export class OnlinePca {
  constructor(dim) {
    this.dim = dim;
    this.count = 0;
    this.mean = new Float64Array(dim);
    this.covariance = new Float64Array(dim * dim);
    this.values = new Float64Array(COMPONENTS);
    // Any fixed beginning that has a part along every direction.
    this.basis = Array.from({ length: COMPONENTS }, (_, k) =>
      Float64Array.from({ length: dim }, (_, i) => Math.sin((i + 1) * (k + 1) * 1.7) / Math.sqrt(dim)));
  }

  // frames: [count, dim], one after another.
  add(frames) {
    const { dim, mean, covariance } = this;
    const difference = new Float64Array(dim);
    for (let at = 0; at < frames.length; at += dim) {
      const rate = 1 / Math.min(++this.count, MEMORY);
      for (let i = 0; i < dim; i++) {
        difference[i] = frames[at + i] - mean[i];
        mean[i] += rate * difference[i];
      }
      for (let i = 0; i < dim; i++) {
        const weight = rate * (1 - rate) * difference[i];
        for (let j = 0, row = i * dim; j < dim; j++) {
          covariance[row + j] += weight * difference[j] - rate * covariance[row + j];
        }
      }
    }
    this.turn();
  }

  // Two steps of orthogonal iteration from where the basis is: it settles, and its signs stay.
  turn() {
    for (let step = 0; step < 2; step++) {
      const images = this.basis.map((vector) => this.image(vector));
      images.forEach((image, k) => {
        this.values[k] = Math.max(dot(image, this.basis[k]), 1e-12);
        for (let before = 0; before < k; before++) {
          const along = dot(image, images[before]);
          for (let i = 0; i < this.dim; i++) image[i] -= along * images[before][i];
        }
        const length = Math.sqrt(dot(image, image));
        if (length < 1e-9) return image.set(this.basis[k]); // silence has no direction
        const sign = dot(image, this.basis[k]) < 0 ? -1 : 1;
        for (let i = 0; i < this.dim; i++) image[i] *= sign / length;
        return image;
      });
      this.basis = images;
    }
  }

  image(vector) {
    const { dim, covariance } = this;
    const result = new Float64Array(dim);
    for (let i = 0; i < dim; i++) {
      let sum = 0;
      for (let j = 0, row = i * dim; j < dim; j++) sum += covariance[row + j] * vector[j];
      result[i] = sum;
    }
    return result;
  }

  // The three components of one frame, each in [-1, 1].
  project(frames, at) {
    return this.basis.map((vector, k) => {
      let sum = 0;
      for (let i = 0; i < this.dim; i++) sum += vector[i] * (frames[at + i] - this.mean[i]);
      return Math.max(-1, Math.min(1, sum / (SPREAD * Math.sqrt(this.values[k]) + 1e-9)));
    });
  }
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

// Three numbers in [-1, 1] to [red, green, blue]: lightness and two opponent colours of the OKLab space, so that
// like frames look alike.
export function colour([first, second, third]) {
  const [light, a, b] = [0.64 + 0.2 * first, 0.14 * second, 0.14 * third];
  const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((x) => {
    const linear = Math.max(0, Math.min(1, x));
    return Math.round(255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
  });
}
