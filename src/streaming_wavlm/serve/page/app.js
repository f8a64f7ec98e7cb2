// The page: a source of sound, a tape of its last seconds, and one or two streams that hear it.

import { drawWave } from "./draw.js";
import { Lane } from "./lane.js";
import { AudioFile, Microphone } from "./sources.js";
import { Tape } from "./tape.js";

const element = (id) => document.getElementById(id);
const bearer = () => (element("token").value || new URLSearchParams(location.hash.slice(1)).get("token") || "").trim();
const tape = new Tape();
let lanes = [];
let source = null;
let state = "loading"; // idle, opening, running, paused, finished
let offered = { chunk_ms: [], num_layers: 0 };

function say(sentence, kind = "calm") {
  element("status").dataset.kind = kind;
  if (element("sentence").textContent !== sentence) element("sentence").textContent = sentence;
}

function turn(to, sentence) {
  state = to;
  const busy = state === "running" || state === "paused";
  const recording = busy && source instanceof Microphone;
  document.body.dataset.state = state;
  element("record-text").textContent = recording ? "Stop" : "Record";
  element("record").classList.toggle("on", recording);
  element("record").disabled = state === "opening";
  element("pause").disabled = !busy;
  element("pause").textContent = state === "paused" ? "Resume" : "Pause";
  element("reset").disabled = state === "idle" || state === "opening";
  if (sentence) say(sentence, state === "running" ? "live" : "calm");
}

async function health() {
  const answer = await fetch("healthz", { cache: "no-store" });
  return answer.json();
}

// A browser is not told why a connection was refused; the server's health says it.
async function explain(sentence) {
  const now = await health().catch(() => null);
  if (!now) return "The server does not answer; is it still running?";
  if (now.status === "draining") return "The server is stopping; connect again in a moment.";
  if (now.free === 0) return "All streams of this server are taken; try again in a moment.";
  if (now.token && !bearer()) return "This server wants an access token; enter it above.";
  if (now.token && sentence.startsWith("no connection")) return "The server did not accept the access token; check it.";
  return `The stream ended: ${sentence}.`;
}

function onstate(kind, sentence) {
  if (kind === "lost") say("The connection is lost; coming back to go on where it stopped …", "trouble");
  if (kind === "open" && sentence) say(sentence, state === "running" ? "live" : "calm");
  if (kind === "warning") say(`The server says: ${sentence}.`, "trouble");
  if (kind !== "failed") return;
  lanes.forEach((lane) => lane.stop());
  halt();
  turn(tape.samples ? "finished" : "idle");
  explain(sentence).then((words) => {
    say(words, "trouble");
    element("token-field").hidden &&= !words.includes("token");
  });
}

function halt() {
  source?.stop();
  source = null;
}

async function begin(open) {
  if (state === "opening" || state === "loading") return undefined;
  halt();
  lanes.forEach((lane) => lane.stop());
  turn("opening", "Opening …");
  try {
    source = await open();
  } catch (error) {
    turn("idle");
    return say(error.message, "trouble");
  }
  tape.clear(source.rate);
  if (!startLanes(lanes)) return undefined;
  source.waiting = () => Math.max(...lanes.map((lane) => lane.client?.waiting ?? 0));
  source.onsamples = (packet) => {
    tape.add(packet);
    lanes.forEach((lane) => lane.send(packet));
  };
  source.onend = finish;
  source.start();
  return turn("running", source instanceof Microphone ? "Listening to the microphone." : `Playing ${source.name}.`);
}

function finish() {
  lanes.forEach((lane) => lane.flush());
  halt();
  turn("finished", `Finished after ${tape.seconds.toFixed(1)} s. Another layer or chunk size shows its last seconds anew.`);
}

// A stream cannot change its layer or its chunk size: another one hears the last seconds, and goes on. Tells whether
// it does.
function startLanes(which) {
  if (state === "loading" || state === "idle") return true;
  try {
    which.forEach((lane) => {
      lane.start(tape, Number(element("layer").value), bearer());
      if (state === "finished") lane.flush();
    });
    return true;
  } catch (error) { // what a socket cannot be opened with
    lanes.forEach((lane) => lane.stop());
    halt();
    turn("idle");
    const token = error.name === "SyntaxError" && bearer();
    say(token ? "An access token is one word of letters, digits and -._~; check it." : error.message, "trouble");
    return false;
  }
}

function reset() {
  tape.clear();
  source?.rewind();
  lanes.forEach((lane) => (source ? lane.reset() : (lane.stop(), lane.clear())));
  if (source) say("Begun anew.", "live");
  else turn("idle", "Ready.");
}

function addLane(letter, chunk) {
  const lane = new Lane(letter, offered, onstate);
  lane.chunk.value = chunk;
  lane.chunk.onchange = () => startLanes([lane]);
  lanes.push(lane);
  element("lanes").append(lane.root);
  startLanes([lane]);
}

function compare(on) {
  document.body.classList.toggle("compare", on);
  if (on) return addLane("B", offered.chunk_ms.find((ms) => ms !== Number(lanes[0].chunk.value)) ?? offered.chunk_ms[0]);
  const lane = lanes.pop();
  lane.stop();
  return lane.root.remove();
}

function playFile(file) {
  if (file) begin(() => AudioFile.open(file, Number(element("speed").value)));
}

function listen() {
  element("record").onclick = () => (source instanceof Microphone ? finish() : begin(() => Microphone.open()));
  element("file").onchange = ({ target }) => { playFile(target.files[0]); target.value = ""; };
  element("pause").onclick = async () => {
    const [paused, which] = [state === "running", source];
    await which.pause(paused);
    if (source !== which) return; // it has ended meanwhile
    turn(paused ? "paused" : "running", paused ? "Paused; the stream waits." : "Going on.");
  };
  element("reset").onclick = reset;
  element("layer").onchange = () => startLanes(lanes);
  element("speed").onchange = ({ target }) => { if (source instanceof AudioFile) source.speed = Number(target.value); };
  element("compare").onchange = ({ target }) => compare(target.checked);
  document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("dropping"); };
  document.ondragleave = (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); };
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    playFile(event.dataTransfer.files[0]);
  };
  addEventListener("pagehide", () => { halt(); lanes.forEach((lane) => lane.stop()); });
}

function draw() {
  drawWave(element("wave"), tape);
  lanes.forEach((lane) => lane.draw(tape.end, lanes[0].history?.pca));
  requestAnimationFrame(draw);
}

async function main() {
  listen();
  try {
    offered = await health();
  } catch {
    return say("The server does not answer; is it still running?", "trouble");
  }
  const layers = Array.from({ length: offered.num_layers }, (_, i) => i).reverse();
  element("layer").replaceChildren(...layers.map((i) => new Option(i === layers[0] ? `${i} (last)` : i, i)));
  element("compare").disabled = offered.chunk_ms.length < 2;
  element("file").disabled = false;
  element("token-field").hidden = !offered.token;
  addLane("A", offered.chunk_ms[0]);
  setInterval(() => lanes.forEach((lane) => lane.numbers(tape.end)), 250);
  turn("idle", "Ready. Press record, or drop a file here.");
  return draw();
}

// For programs that drive the page, and for the curious.
window.streamingWavlm = { tape, playFile, lanes: () => lanes, state: () => state };
main();
