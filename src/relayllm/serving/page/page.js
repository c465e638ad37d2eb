"use strict";
const $ = (id) => document.getElementById(id);
const NAMES = {
  student_tokens: "Tokens by the student", teacher_tokens: "Tokens by the teacher", command_tokens: "Command tokens",
  student_prefilled: "Tokens the student read", teacher_prefilled: "Tokens the teacher read",
  teacher_cached: "Found in the teacher's cache",
};
let running = null;

class Answer {
  constructor(place, title) {
    place.replaceChildren($("answer").content.cloneNode(true));
    this.place = place;
    this.find = (selector) => place.querySelector(selector);
    this.find("h2").textContent = this.title = title;
    this.find("h2").id = place.id + "-title";
    this.text = this.find(".text");
    this.text.setAttribute("aria-label", title);
    this.text.classList.add("writing");
    this.counts = { student: 0, teacher: 0, command: 0 };
    this.calls = 0;
    this.author = "";
    this.show();
  }

  take(chunk) {
    const choice = chunk.choices && chunk.choices[0];
    const relay = chunk.relay || {};
    if (relay.ledger) return this.finish(relay);
    if (relay.author) this.counts[relay.author] += relay.tokens;
    if (relay.call) this.call(relay.call);
    const text = choice && choice.delta && choice.delta.content;
    if (text) this.write(text, relay.author || this.author || "student");
    this.show();
  }

  write(text, author) {
    if (author !== this.author || !this.piece) {
      this.piece = document.createElement(author === "teacher" ? "mark" : "span");
      if (author === "teacher") this.piece.title = "written by the teacher";
      this.text.append(...(author === this.author ? [] : [unseen(author + ": ")]), this.piece);
      this.author = author;
    }
    this.piece.append(text);
  }

  call(n) {
    this.calls += 1;
    this.piece = null;
    const mark = document.createElement("sup");
    mark.textContent = "call " + n;
    mark.title = `call: the student asked for ${n} ${n === 1 ? "token" : "tokens"}`;
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", mark.title);
    this.text.append(mark);
  }

  show() {
    const { student, teacher, command } = this.counts;
    const all = student + teacher + command;
    const ratio = all ? (100 * teacher) / all : 0;
    this.find(".meter .student").style.width = all ? 100 - ratio + "%" : "0";
    this.find(".meter .teacher").style.width = ratio + "%";
    const words = `${teacher} of ${all} tokens by the teacher, ${this.calls} ${this.calls === 1 ? "call" : "calls"}`;
    this.find(".meter").setAttribute("aria-label", `call ratio ${ratio.toFixed(1)} percent`);
    const figure = document.createElement("b");
    figure.textContent = ratio.toFixed(1) + " %";
    this.find(".ratio").replaceChildren(figure, " call ratio · " + words);
    this.ledger({ student_tokens: student, teacher_tokens: teacher, command_tokens: command });
    this.summary = `${this.title}: ${words}, call ratio ${ratio.toFixed(1)} percent`;
  }

  ledger(rows) {
    this.find("tbody").replaceChildren(...Object.entries(NAMES).filter(([key]) => key in rows).map(([key, name]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      row.insertCell().textContent = rows[key];
      return row;
    }));
  }

  finish(relay) {
    const ledger = relay.ledger;
    this.counts = { student: ledger.student_tokens, teacher: ledger.teacher_tokens, command: ledger.command_tokens };
    this.calls = relay.calls.length;
    this.show();
    this.ledger(ledger);
    if (relay.degraded) this.notice("The teacher was not to be had, so the student finished alone.");
    else if (relay.stop_reasons.includes("token_budget")) this.notice("The answer reached its limit of tokens.");
    $("model").textContent = `version ${relay.version}, ${relay.alias}`;
    this.end();
  }

  notice(text) {
    this.find(".notice").textContent = text;
    this.find(".notice").hidden = false;
  }

  end() { this.text.classList.remove("writing"); }
}

async function stream(answer, body, signal) {
  const headers = { "content-type": "application/json" };
  if ($("key").value) headers.authorization = "Bearer " + $("key").value;
  const reply = await fetch("v1/chat/completions", { method: "POST", headers, signal, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(await message(reply));
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) handle(answer, event);
  }
  if (!answer.done) throw new Error("The connection ended before the answer did.");
}

function handle(answer, event) {
  if (!event.startsWith("data: ")) return;
  if (event === "data: [DONE]") { answer.done = true; return; }
  const chunk = JSON.parse(event.slice(6));
  if (chunk.error) throw new Error(chunk.error.message);
  answer.take(chunk);
}

async function message(reply) {
  try { return (await reply.json()).error.message; } catch { return `The server answered ${reply.status}.`; }
}

async function ask(event) {
  if (event) event.preventDefault();
  const question = $("question").value.trim();
  if (!question) { $("question").focus(); return; }
  if (running) running.abort();
  const mine = running = new AbortController();
  const both = $("side").checked;
  const teacher = $("teacher").checked;
  const body = (relay) => ({ messages: [{ role: "user", content: question }], stream: true, relay });
  $("answers").hidden = false;
  $("alone").hidden = !both;
  busy(true);
  say("Writing ...");
  const jobs = [[new Answer($("relay"), teacher ? "Student and teacher" : "Student alone"),
    { teacher, call_bias: Number($("dial").value) }]];
  if (both) jobs.push([new Answer($("alone"), "Student alone, for comparison"), { teacher: false }]);
  try {
    await Promise.all(jobs.map(([answer, relay]) => stream(answer, body(relay), mine.signal)));
    say("Done.", false, jobs.map(([answer]) => answer.summary).join(". "));
  } catch (error) {
    if (running === mine) say(error.name === "AbortError" ? "Stopped." : error.message, error.name !== "AbortError");
    mine.abort();
  } finally {
    jobs.forEach(([answer]) => answer.end());
    if (running === mine) { running = null; busy(false); }
  }
}

function unseen(text) {
  const words = document.createElement("span");
  words.className = "unseen";
  words.textContent = text;
  return words;
}

function say(text, alarm = false, aside = "") {
  $("status").replaceChildren(text, unseen(aside && " " + aside));
  $("status").classList.toggle("alarm", alarm);
}

function busy(on) {
  $("stop").disabled = !on;
  $("relay").setAttribute("aria-busy", on);
  $("alone").setAttribute("aria-busy", on);
}

function stop() { if (running) running.abort(); }

async function examples() {
  const reply = await fetch("examples");
  for (const { benchmark, question } of reply.ok ? await reply.json() : []) {
    const short = question.length > 70 ? question.slice(0, 68) + " ..." : question;
    $("examples").append(new Option(`${benchmark}: ${short}`, question));
  }
}

$("form").addEventListener("submit", ask);
$("stop").addEventListener("click", stop);
$("examples").addEventListener("change", () => {
  if ($("examples").value) $("question").value = $("examples").value;
});
$("dial").addEventListener("input", () => { $("dial-value").textContent = $("dial").value; });
$("teacher").addEventListener("change", () => { $("dial").disabled = !$("teacher").checked; });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(event);
});
$("key-row").hidden = !SETTINGS.keys;
examples();
