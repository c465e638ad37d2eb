// The conversation, the form, and what goes wrong.
let running = null;
let turns = [];

async function stream(answer, signal) {
  const reply = await fetch("v1/chat/completions",
    { method: "POST", headers: headers(), signal, body: JSON.stringify(answer.body) });
  if (!reply.ok) throw await Failure.of(reply);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) handle(answer, event);
  }
  if (!answer.done) throw new Failure("The connection ended before the answer did. Ask again.");
}

function headers() {
  const key = $("key").value.trim();
  return { "content-type": "application/json", ...(key ? { authorization: "Bearer " + key } : {}) };
}

function handle(answer, event) {
  if (!event.startsWith("data: ")) return;
  if (event === "data: [DONE]") { answer.done = true; return; }
  const chunk = JSON.parse(event.slice(6));
  if (chunk.error) throw new Failure(sentence(503, chunk.error));
  answer.take(chunk);
}

class Failure extends Error {
  constructor(message, status = 0) { super(message); this.status = status; }

  static async of(reply) {
    let told = {};
    try { told = (await reply.json()).error || {}; } catch { /* a proxy's page */ }
    return new Failure(sentence(reply.status, told, reply.headers.get("retry-after")), reply.status);
  }
}

function sentence(status, told, wait) {
  const soon = wait ? `in ${wait} ${wait === "1" ? "second" : "seconds"}` : "in a moment";
  if (status === 401) {
    return $("key").value ? "This API key is not accepted. Check it and ask again."
      : "This server needs an API key. Enter yours and ask again.";
  }
  if (told.code === "context_length_exceeded") {
    return "The conversation is longer than the model can read. Shorten the question, or start a new conversation.";
  }
  if (status === 429) return `Too many people are asking at once. Ask again ${soon}.`;
  if (status === 413) return "The question is too long for this server. Shorten it.";
  if (status === 503 && told.code !== "unavailable") return `The server cannot answer now. Ask again ${soon}.`;
  if (!told.message) return `The server answered with an error (${status}). Ask again ${soon}.`;
  const said = told.message[0].toUpperCase() + told.message.slice(1).replace(/[.\s]+$/, "") + ".";
  return status >= 500 ? `The model could not answer. Ask again ${soon}. The server says: ${said}` : said;
}

function history() {
  return turns.filter(({ answer }) => answer.text).flatMap(({ question, answer }) => [
    { role: "user", content: question }, { role: "assistant", content: answer.text }]);
}

function begin(question) {
  for (const id of ["relay", "alone"]) if ($(id)) $(id).removeAttribute("id");
  const turn = $("turn").content.firstElementChild.cloneNode(true);
  turn.querySelector(".asked").textContent = question;
  const places = turn.querySelectorAll("section");
  places[0].id = "relay";
  places[1].id = "alone";
  const body = (relay) => ({ messages: [...history(), { role: "user", content: question }], stream: true,
    stream_options: { include_usage: true }, relay });
  const teacher = $("teacher").checked;
  const answers = [new Answer(places[0], teacher ? "Student and teacher" : "Student alone", body({ teacher, ...(teacher ? wish() : {}) }))];
  if ($("side").checked) answers.push(new Answer(places[1], "Student alone, for comparison", body({ teacher: false })));
  places[1].hidden = answers.length < 2;
  $("turns").append(turn);
  return { turn, answers, question };
}

async function ask(event) {
  if (event) event.preventDefault();
  const question = $("question").value.trim();
  if (!question) { $("question").focus(); return; }
  while (running) { running.abort(); await running.over; }
  const mine = running = new AbortController();
  mine.over = answerTo(begin(question), mine);
  await mine.over;
}

async function answerTo({ turn, answers, question }, mine) {
  keep("question", question);
  $("question").value = "";
  if (matchMedia("(pointer: coarse)").matches) $("question").blur();  // its keyboard would cover the answer
  else $("question").focus({ preventScroll: true });
  $("empty").hidden = true;
  marked(false);
  busy(true);
  say("Writing ...");
  turn.scrollIntoView({ block: "start" });
  let trouble = null;
  try {
    await Promise.all(answers.map((answer) => stream(answer, mine.signal)));
  } catch (error) {
    trouble = error;
    mine.abort();
  }
  if (!FACTS.known) await learn();
  answers.forEach((answer) => answer.end());
  if (answers[0].text || !trouble) turns.push({ question, answer: answers[0] });
  else turn.remove();
  if (running === mine) running = null;
  busy(Boolean(running));
  $("new").hidden = !turns.length;
  $("empty").hidden = turns.length > 0;
  if (trouble) recover(trouble, question);
  else say("Done.", false, answers.map((answer) => answer.summary).join(". "));
}

function recover(error, question) {
  if (!$("question").value) $("question").value = question;
  const stopped = error.name === "AbortError";
  const lost = error instanceof TypeError;
  say(stopped ? "Stopped." : lost ? "The server cannot be reached. Check the connection and ask again." : error.message,
    !stopped);
  if (error.status === 401) marked(true);
}

function marked(wrong) {
  $("key").toggleAttribute("aria-invalid", wrong);
  if (wrong) { $("key").setAttribute("aria-invalid", "true"); $("key").focus(); }
}

function say(text, alarm = false, aside = "") {
  $("status").replaceChildren(text, unseen(aside && " " + aside));
  $("status").classList.toggle("alarm", alarm);
}

function busy(on) {
  $("stop").disabled = !on;
  $("turns").setAttribute("aria-busy", on);
}

function stop() { if (running) running.abort(); }

async function copy(text, told) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = document.createElement("textarea");  // without https there is no clipboard to write to
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(told);
}

function keep(name, value) { try { sessionStorage.setItem(name, value); } catch { /* storage is switched off */ } }
function kept(name) { try { return sessionStorage.getItem(name) || ""; } catch { return ""; } }

async function restart() {
  const over = running && running.over;
  stop();
  await over;
  turns = [];
  $("turns").replaceChildren();
  $("empty").hidden = false;
  $("new").hidden = true;
  say("");
  $("question").focus();
}

async function answered(path) {
  return fetch(path, { headers: headers() }).then((reply) => (reply.ok ? reply.json() : null)).catch(() => null);
}

async function learn() {
  const told = await answered("facts");
  if (!told) return;
  Object.assign(FACTS, told, { known: true });
  $("options").hidden = !FACTS.helped;
  if (!FACTS.helped) $("teacher").checked = $("side").checked = false;
  if (measured()) {
    [$("calls").min, $("calls").max, $("calls").step] = [0, FACTS.call_ratios.length - 1, 1];
    $("calls").value = Math.max(0, FACTS.call_ratios.indexOf(FACTS.own_call_ratio));
  }
  showCalls();
}

function measured() {
  return FACTS.call_ratios.length > 1;
}

// Where call ratios were measured the slider goes from one to the next; elsewhere it is a bias.
function wish() {
  const chosen = Number($("calls").value);
  if (!measured()) return { call_bias: chosen };
  const call_ratio = FACTS.call_ratios[chosen];
  return call_ratio === FACTS.own_call_ratio ? {} : { call_ratio };
}

function showCalls() {
  const chosen = Number($("calls").value);
  const words = measured() ? `about ${(100 * FACTS.call_ratios[chosen]).toFixed(1)} % by the teacher`
    : (chosen > 0 ? "+" : "") + chosen;
  $("calls-value").textContent = words;
  $("calls").setAttribute("aria-valuetext", measured() ? words : `bias ${words}, its share was not measured`);
}

async function examples() {
  for (const { benchmark, question } of (await answered("examples")) || []) {
    const button = document.createElement("button");
    const kind = document.createElement("small");
    button.type = "button";
    button.className = "example";
    kind.textContent = benchmark;
    button.append(kind, question);
    button.addEventListener("click", () => { $("question").value = question; keep("question", question); $("ask").focus(); });
    $("examples").append(button);
  }
}

$("form").addEventListener("submit", ask);
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", restart);
$("question").addEventListener("input", () => keep("question", $("question").value));
$("key").addEventListener("input", () => { keep("key", $("key").value); $("key").removeAttribute("aria-invalid"); });
$("key").addEventListener("change", learn);
$("calls").addEventListener("input", showCalls);
$("teacher").addEventListener("change", () => { $("calls").disabled = !$("teacher").checked; });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(event);
});
$("key-row").hidden = !SETTINGS.keys;
$("question").value = kept("question");
$("key").value = kept("key");
examples();
showCalls();
if (!SETTINGS.keys || $("key").value) learn();
