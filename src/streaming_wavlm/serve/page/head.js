// What a head says of a stream: its latest answer, how sure it is, and both over time.

import { fresh, leftOf, theme } from "./draw.js";
import { FRAMES_PER_SECOND, WINDOW } from "./tape.js";

const SEEN_SCORES = 4;
const SAID_MS = 900; // between two answers that are read out
const SURE = 0.5; // from here on an answer is written on the strip
const ROW = 26; // pixels
const QUIET = new Set(["silence", "other speech", "_silence_", "_unknown_", "SIL", "neutral"]);

export class HeadView {
  // head: as the server describes it.
  constructor(head, place) {
    this.root = document.getElementById("head").content.firstElementChild.cloneNode(true);
    this.find = (name) => this.root.querySelector(`[data-is="${name}"]`);
    const window = head.window_frames ? `, the last ${(head.window_frames / FRAMES_PER_SECOND).toFixed(1)} s` : "";
    this.find("name").textContent = head.name;
    this.find("about").textContent = `${head.task.replaceAll("_", " ")}${window}`;
    this.find("track").setAttribute("aria-label", `What ${head.name} said, over time`);
    this.rows = [];
    this.said = 0;
    place.append(this.root);
  }

  // Takes a message and keeps what is still seen.
  hear({ kind, position, begin, slots, labels, scores }) {
    if (kind === "pooled") this.answers(slots, position);
    else if (kind === "frames") this.frames(labels, scores, begin);
    else this.activity(scores, begin);
    this.rows.forEach((row) => { while (row.parts.length && row.parts[0].end < position - WINDOW) row.parts.shift(); });
  }

  row(number, name) { return (this.rows[number] ??= { name, parts: [] }); }

  answers(slots, end) {
    slots.forEach(({ name, label, scores }, number) => {
      const { parts } = this.row(number, slots.length > 1 ? name : "");
      parts.push({ begin: parts.at(-1)?.end ?? 0, end, label, score: scores[label] });
    });
    this.tell(slots.map(({ label }) => label).join(" · "));
    const lines = slots.length > 1
      ? slots.map(({ label, scores }) => [label, scores[label]])
      : Object.entries(slots[0].scores).sort((a, b) => b[1] - a[1]).slice(0, SEEN_SCORES);
    this.bars(lines);
  }

  // Frames of one class are one part.
  frames(labels, scores, begin) {
    const { parts } = this.row(0, "");
    labels.forEach((label, i) => {
      const last = parts.at(-1);
      const at = begin + i;
      if (last?.label === label && last.end === at) {
        last.score += (scores[i] - last.score) / (at + 1 - last.begin);
        last.end = at + 1;
      } else parts.push({ begin: at, end: at + 1, label, score: scores[i] });
    });
    this.tell(parts.slice(-8).map(({ label }) => label).join(" "));
  }

  activity(scores, begin) {
    Object.entries(scores).forEach(([speaker, shares], number) => {
      const { parts } = this.row(number, speaker);
      shares.forEach((score, i) => parts.push({ begin: begin + i, end: begin + i + 1, label: "", score }));
    });
    const now = Object.entries(scores).map(([speaker, shares]) => [speaker, shares.at(-1)]);
    this.tell(now.filter(([, share]) => share > SURE).map(([speaker]) => speaker).join(", ") || "nobody");
    this.bars(now);
  }

  // The answer is in a live region: it is read out when it changes, and not all the time.
  tell(label) {
    if (label === this.find("label").textContent || performance.now() - this.said < SAID_MS) return;
    this.find("label").textContent = label;
    this.said = performance.now();
  }

  bars(lines) {
    this.find("scores").replaceChildren(...lines.map(([text, score]) => {
      const line = document.createElement("li");
      const bar = Object.assign(document.createElement("meter"), { value: score, max: 1 });
      bar.setAttribute("aria-label", text);
      const [name, share] = [text, `${Math.round(100 * score)} %`].map((words) =>
        Object.assign(document.createElement("span"), { textContent: words }));
      line.append(name, bar, share);
      return line;
    }));
  }

  // offset: the frame of the page at which this stream's first frame is.
  draw(now, offset) {
    const track = this.find("track");
    track.style.height = `${ROW * Math.max(1, this.rows.length)}px`;
    const { context, width } = fresh(track);
    const [left, scale] = [leftOf(now), width / WINDOW];
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "middle";
    this.rows.forEach(({ name, parts }, number) => {
      let written = { label: null, end: -Infinity };
      for (const { begin, end, label, score } of parts) {
        const [x, span] = [(begin + offset - left) * scale, (end - begin) * scale];
        if (x + span < 0) continue;
        const [y, quiet] = [number * ROW, QUIET.has(label)];
        context.globalAlpha = quiet ? 0.3 * score : 0.12 + 0.5 * score ** 2;
        context.fillStyle = theme(quiet ? "--third" : "--accent");
        context.fillRect(x, y + 2, Math.max(1, span - 1), ROW - 4);
        context.globalAlpha = 1;
        const size = label && !quiet && score > SURE ? context.measureText(label).width + 6 : Infinity;
        if ((label !== written.label || begin !== written.begin) && x >= written.end && size < Infinity) {
          context.fillStyle = theme("--ink");
          context.fillText(label, x + 4, y + ROW / 2);
          written = { label, begin: end, end: x + size };
        } else if (label === written.label) written.begin = end;
      }
      context.fillStyle = theme("--soft");
      if (name) context.fillText(name, 6, number * ROW + ROW / 2);
    });
  }
}
