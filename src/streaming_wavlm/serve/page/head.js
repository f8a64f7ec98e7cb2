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
    this.said = -SAID_MS;
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

  // The answer is seen at once; a live region, which is read out, has it when it changes, and not all the time.
  tell(label) {
    this.find("label").textContent = label;
    this.timer ??= setTimeout(() => {
      [this.timer, this.said] = [undefined, performance.now()];
      const [spoken, now] = [this.find("spoken"), this.find("label").textContent];
      if (spoken.textContent !== now) spoken.textContent = now;
    }, Math.max(0, SAID_MS - (performance.now() - this.said)));
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
      const [y, words] = [number * ROW, []];
      let written = -Infinity; // where the last word ends
      parts.forEach(({ begin, end, label, score }, i) => {
        const [x, right] = [(begin + offset - left) * scale, (end + offset - left) * scale];
        if (right < 0) return;
        const [quiet, same] = [QUIET.has(label), parts[i - 1]?.label === label];
        context.globalAlpha = quiet ? 0.35 * score : 0.1 + 0.45 * score ** 2;
        context.fillStyle = theme(quiet ? "--third" : "--accent");
        context.fillRect(x + (same ? 0 : 1), y + 2, Math.max(0.5, right - x - (same ? 0 : 1)), ROW - 4);
        const known = words.at(-1)?.upTo === i && words.at(-1).label === label;
        if (known) words.at(-1).upTo = i + 1;
        if (known || !label || quiet || score < SURE || x < written) return;
        words.push({ label, x: x + 5, upTo: i + 1 });
        written = x + context.measureText(label).width + 10;
      });
      context.globalAlpha = 1;
      context.fillStyle = theme("--ink");
      words.forEach(({ label, x }) => context.fillText(label, x, y + ROW / 2));
      context.fillStyle = theme("--soft");
      if (name) context.fillText(name, 6, y + ROW / 2);
    });
  }
}
