// Features as a .npy file.

// blocks: Float32Arrays that together hold [frames, dim].
export function npy(blocks, dim) {
  const frames = blocks.reduce((sum, block) => sum + block.length, 0) / dim;
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${frames}, ${dim}), }`;
  const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n"; // the data begins on a multiple of 64
  const header = new Uint8Array([0x93, ...encode("NUMPY"), 1, 0, padded.length & 255, padded.length >> 8, ...encode(padded)]);
  return new Blob([header, ...blocks], { type: "application/octet-stream" });
}

const encode = (text) => new TextEncoder().encode(text);

export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
