// The binary messages of a server: features behind a header of 32 bytes.

// Where the fields of a feature message begin, little-endian.
export const HEADER = {
  magic: "SWF1", type: 4, pooled: 5, layers: 6, dim: 8, frames: 12, stream: 16, position: 20, compute: 28, bytes: 32,
};

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
    pooled: view.getUint8(HEADER.pooled) === 1, // the array is the mean over the frames
  };
}
