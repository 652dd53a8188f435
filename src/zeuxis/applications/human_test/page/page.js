"use strict";
// One session of the human test. The page knows images by random names only; which are real comes
// with the reply to a stored answer, if at all.

const $ = (id) => document.getElementById(id);
const KEY = "zeuxis-person:" + location.host;
const opened = performance.now();
let study, person, frameMs, shown, busy = true;
const bitmaps = new Map();

// ---- requests: sent again until the server answers --------------------------------------------

async function ask(path, body) {
  for (let wait = 250; ; wait = Math.min(2000, 2 * wait)) {
    try {
      const reply = await fetch(path, body === undefined ? {} : {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      const value = await reply.json();
      if (reply.ok) { tell(""); return value; }
      if (reply.status !== 503 && reply.status !== 429) throw new Refused(value.error);
      tell(value.error);
    } catch (error) {
      if (error instanceof Refused) { tell(error.message); throw error; }
      tell("The server does not answer. Your last answer is kept and sent again.");
    }
    await sleep(wait);
  }
}

class Refused extends Error {}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const frame = () => new Promise((done) => requestAnimationFrame(done));

function tell(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function only(id) {
  for (const one of ["consent", "between", "test", "end"]) $(one).hidden = one !== id;
  $("leave").hidden = id === "consent";
}

// ---- before the first image -----------------------------------------------------------------

async function measureFrame() {
  const times = [];
  for (let last = await frame(), i = 0; i < 40; i++) {
    const now = await frame();
    times.push(now - last);
    last = now;
  }
  return times.sort((a, b) => a - b)[20];
}

const HOW = {
  untimed: "Half of the images are real. Take the time you need. You learn the truth at the end.",
  feedback: "Half of the images are real. After each answer you learn the truth.",
  timed: "Half of the images are real. Each is visible for a moment, longer or shorter as you " +
    "answer. After each answer you learn the truth. Stay on this page while an image shows.",
  grid: "Each screen shows several images, about half of them real. Mark those that a program " +
    "made. After a screen you learn which you got wrong.",
};

async function load() {
  study = await ask("/study");
  $("data").textContent = study.data;
  $("how").textContent = HOW[study.mode] +
    " A few obvious fakes and a few repeated images are among them.";
  const seconds = { untimed: 4, feedback: 5, timed: 4.5, grid: 2.5 }[study.mode];
  $("minutes").textContent = Math.ceil((study.n * 1.1 + study.qualify) * seconds / 60) + 1;
  person = localStorage.getItem(KEY);
  if (person) {
    const reply = await fetch("/state?person=" + encodeURIComponent(person));
    if (reply.ok) { frameMs = await measureFrame(); return resume(await reply.json()); }
    localStorage.removeItem(KEY);
  }
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("start").disabled = true;
  try {
    frameMs = await measureFrame();
    if (study.mode === "timed" && !document.hasFocus())
      throw tell("Click into this page first, so that images show on time.");
    const reply = await ask("/start", {
      consent: $("agree").checked, age_ok: $("age").checked,
      role: document.querySelector("[name=role]:checked").value,
      screen: `${screen.width}x${screen.height}@${devicePixelRatio}`,
      frame_ms: frameMs, reading_ms: performance.now() - opened,
      invitation: new URLSearchParams(location.search).get("invitation") || "",
    });
    person = reply.person;
    localStorage.setItem(KEY, person);
    resume(await ask("/state?person=" + encodeURIComponent(person)));
  } catch { $("start").disabled = false; }
});

async function resume(state) {
  if (!state.left.length) return finish("");
  pause("Loading the images…", null);
  const names = state.left.map((one) => one.token);
  const masks = Array.from({ length: study.masks }, (_, i) => "/mask/" + i);
  const paths = [...names.map((name) => "/image/" + name), ...masks];
  for (let i = 0; i < paths.length; i += 8)
    await Promise.all(paths.slice(i, i + 8).map(fetchImage));
  names.forEach((name) => bitmaps.set(name, bitmaps.get("/image/" + name)));
  total = state.all; done = state.done; phases = new Map(state.left.map((o) => [o.token, o.phase]));
  phase = null;
  next();
}

let total, done, phases, phase;

async function fetchImage(path) {
  for (let wait = 250; ; wait = Math.min(2000, 2 * wait)) {
    try {
      const reply = await fetch(path);
      if (reply.ok) { bitmaps.set(path, await createImageBitmap(await reply.blob())); return; }
    } catch { tell("The server does not answer. The images are asked for again."); }
    await sleep(wait);
  }
}

// ---- one image after another ------------------------------------------------------------------

const INTRO = {
  practice: "First some images for practice, of another program. They do not count, and you learn " +
    "the truth after each.",
  qualification: "Now a first part with images of several programs.",
  main: "Now the test. The answers count from here on.",
};

function pause(text, action) {
  only("between");
  $("message").textContent = text;
  $("go").hidden = !action;
  $("go").onclick = action;
  if (action) $("go").focus();
}

function draw(canvas, bitmap, room) {
  const factor = Math.max(1, Math.floor(room / Math.max(bitmap.width, bitmap.height)));
  canvas.width = bitmap.width * factor;
  canvas.height = bitmap.height * factor;
  const paper = canvas.getContext("2d");
  paper.imageSmoothingEnabled = false;
  paper.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}

const room = () => Math.min(288, window.innerWidth - 40);

function clear() {
  const canvas = $("canvas");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

async function next() {
  const first = [...phases.keys()][0];
  if (first === undefined) return finish("");
  if (phases.get(first) !== phase) {
    phase = phases.get(first);
    return pause(INTRO[phase] + (study.mode === "grid" ? "" :
      " Press F for real and J for generated, or use the buttons."), next);
  }
  only("test");
  const asked = await ask("/show", { person });
  $("progress").textContent = study.mode === "grid"
    ? `Images ${done + 1} to ${done + asked.tokens.length} of ${total}`
    : `Image ${done + 1} of ${total}`;
  $("feedback").textContent = "";
  $("feedback").className = "";
  if (study.mode === "grid") return showGrid(asked.tokens);
  $("canvas").setAttribute("aria-label", `image ${done + 1} of ${total}`);
  const bitmap = bitmaps.get(asked.tokens[0]);
  shown = { token: asked.tokens[0], seen: null, lost: false };
  if (study.mode === "timed") await flash(bitmap, asked.exposure_ms);
  else { draw($("canvas"), bitmap, room()); shown.since = await frame(); }
  if (shown.lost) return answer("lost");
  busy = false;
  enable(true);
}

async function flash(bitmap, wanted) {
  enable(false);
  for (const count of ["3", "2", "1"]) { clear(); $("progress").textContent = count; await sleep(500); }
  $("progress").textContent = `Image ${done + 1} of ${total}`;
  const frames = Math.max(1, Math.round(wanted / frameMs));
  shown.lost = !document.hasFocus();
  draw($("canvas"), bitmap, room());
  const on = await frame();
  let off = on;
  for (let i = 0; i < frames; i++) off = await frame();
  for (let i = 0; i < 4 && study.masks; i++) {
    draw($("canvas"), bitmaps.get("/mask/" + Math.floor(Math.random() * study.masks)), room());
    for (let j = 0; j < Math.max(1, Math.round(30 / frameMs)); j++) await frame();
  }
  clear();
  shown.seen = off - on;
  shown.since = performance.now();
}

addEventListener("blur", () => { if (busy && shown) shown.lost = true; });

function enable(on) {
  $("real").disabled = $("generated").disabled = !on;
}

async function answer(said) {
  if (busy && said !== "lost") return;
  busy = true;
  enable(false);
  const rt = Math.max(0, performance.now() - (shown.since || performance.now()));
  const reply = await ask("/answer", {
    person, answers: [{ token: shown.token, said, rt_ms: rt, seen_ms: shown.seen }],
  });
  phases.delete(shown.token);
  done++;
  const [one] = reply.answers;
  if (said === "lost") $("feedback").textContent = "You left the page: this image does not count.";
  else if (one.truth !== undefined) {
    $("feedback").textContent = (one.right ? "Right: it is " : "Wrong: it is ") + one.truth + ".";
    $("feedback").className = one.right ? "right" : "wrong";
  }
  if ($("feedback").textContent) await sleep(one.right ? 500 : 1100);
  if (!reply.left) return finish(reply.completion_code);
  next();
}

$("real").onclick = () => answer("real");
$("generated").onclick = () => answer("generated");
addEventListener("keydown", (event) => {
  if ($("test").hidden || study.mode === "grid" || event.repeat || event.ctrlKey || event.metaKey)
    return;
  if (event.key === "f" || event.key === "F") answer("real");
  if (event.key === "j" || event.key === "J") answer("generated");
});

// ---- screens of many images -------------------------------------------------------------------

function showGrid(tokens) {
  $("keys").hidden = $("canvas").hidden = true;
  $("submit").hidden = false;
  $("submit").textContent = "These are generated";
  const since = performance.now();
  const columns = window.innerWidth < 480 ? 4 : 5;
  $("grid").style.gridTemplateColumns = `repeat(${columns}, auto)`;
  $("grid").replaceChildren(...tokens.map((token, i) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label", `image ${i + 1}`);
    button.dataset.token = token;
    draw(canvas, bitmaps.get(token), (window.innerWidth < 480 ? 60 : 100));
    button.append(canvas);
    button.onclick = () => button.setAttribute(
      "aria-pressed", button.getAttribute("aria-pressed") !== "true");
    return button;
  }));
  $("grid").firstChild.focus();
  $("submit").onclick = async () => {
    $("submit").disabled = true;
    const rt = (performance.now() - since) / tokens.length;
    const reply = await ask("/answer", {
      person,
      answers: [...$("grid").children].map((button, i) => ({
        token: button.dataset.token, rt_ms: rt * (0.9 + 0.2 * i / tokens.length),
        said: button.getAttribute("aria-pressed") === "true" ? "generated" : "real",
      })),
    });
    let wrong = 0;
    reply.answers.forEach((one) => {
      phases.delete(one.token);
      if (one.right) return;
      wrong++;
      document.querySelector(`[data-token="${one.token}"]`).classList.add("missed");
    });
    done += tokens.length;
    $("feedback").textContent =
      `${wrong} of ${tokens.length} wrong: those with a dashed frame.`;
    $("submit").disabled = false;
    $("submit").textContent = "Go on";
    $("submit").onclick = () => (reply.left ? next() : finish(reply.completion_code));
  };
}

// ---- the end ------------------------------------------------------------------------------------

async function finish(code) {
  const truth = await ask("/debrief?person=" + encodeURIComponent(person));
  only("end");
  $("result").textContent = `Thank you. ${truth.right} of ${truth.of} answers were right; ` +
    "whoever cannot tell has about half right.";
  $("code").textContent = code ? `Your completion code is ${code}.` : "";
  for (const one of truth.images) {
    if (!bitmaps.has(one.token)) {
      await fetchImage("/image/" + one.token);
      bitmaps.set(one.token, bitmaps.get("/image/" + one.token));
    }
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    draw(canvas, bitmaps.get(one.token), 64);
    const text = document.createElement("figcaption");
    text.textContent = one.truth + (one.said === one.truth ? "" : ", missed");
    if (one.said !== one.truth) figure.className = "wrong";
    figure.append(canvas, text);
    $("truth").append(figure);
  }
}

$("withdraw").onclick = async () => {
  if (!confirm("Stop here and delete all your answers?")) return;
  await ask("/withdraw", { person });
  localStorage.removeItem(KEY);
  location.reload();
};

load().catch(() => {});
