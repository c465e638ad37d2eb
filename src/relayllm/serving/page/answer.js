// One answer: its text as it is written, who wrote it, and what it cost.
const LEDGER = {
  student_tokens: ["Tokens by the student", "written by the small model"],
  teacher_tokens: ["Tokens by the teacher", "written by the large model, in calls"],
  command_tokens: ["Command tokens", "spent on saying <call>n</call>"],
  student_prefilled: ["Tokens the student read", "the question and what the teacher wrote"],
  student_cached: ["Found in the student's cache", "read before by its server, not computed again"],
  student_reread: ["Tokens the student's server read", "fresh, at the beginnings of its segments"],
  teacher_prefilled: ["Tokens the teacher read", "fresh: each call reads what was written since the last"],
  teacher_cached: ["Found in the teacher's cache", "read by an earlier call, not computed again"],
  student_seconds: ["Seconds of the student", "its share of the small model's time"],
  teacher_seconds: ["Seconds of the teacher", "its share of the large model's time, or the wait for it"],
  cost: ["Cost", "all tokens and seconds at this server's prices"],
  reading: ["Of it for reading", "what both models read, fresh or from a cache"],
  alone: ["The teacher alone would cost", "reading the same prompt and writing as many tokens, as fast as in its calls"],
};
const REMOTE = ["student_cached", "student_reread"];  // counted for a student on a server elsewhere
const WITHHELD = {
  teacher: "The teacher could not be reached, so the student finished alone.",
  policy: "A rule of this server kept what would have been sent from the teacher, so the student finished alone.",
  key_budget: "The budget of this API key for today is spent, so the teacher did not help with all that was asked.",
};

class Answer {
  constructor(place, title, body) {
    place.replaceChildren($("answer").content.cloneNode(true));
    Object.assign(this, { place, title, body, text: "", runs: [], calls: [], usage: null });
    this.find = (selector) => place.querySelector(selector);
    this.find("h3").textContent = title;
    place.setAttribute("aria-label", title);
    this.shown = this.find(".text");
    this.shown.setAttribute("aria-label", title);
    this.shown.classList.add("writing");
    this.counts = { student: 0, teacher: 0, command: 0 };
    this.find(".copy").addEventListener("click", () => copy(this.text, "The answer is copied."));
    for (const [name, code] of [["curl", asCurl], ["python", asPython]]) {
      this.find("." + name).addEventListener("click", () => this.code(name, code(body)));
    }
    this.count();
  }

  take(chunk) {
    const choice = chunk.choices && chunk.choices[0];
    const relay = chunk.relay || {};
    if (chunk.usage) this.usage = chunk.usage;
    if (relay.ledger) this.relay = relay;
    else if (relay.author) this.counts[relay.author] += relay.tokens;
    if (relay.call) this.calls.push({ at: this.text.length, n: relay.call });
    const text = choice && choice.delta && choice.delta.content;
    if (text) this.write(text, relay.author);
    if (!this.due) this.due = requestAnimationFrame(() => this.show());
  }

  write(text, author) {
    const last = this.runs[this.runs.length - 1];
    const who = author || (last ? last.author : "student");
    const start = this.text.length;
    this.text += text;
    const called = this.calls.some((call) => call.at === start);
    if (last && last.author === who && !called) last.stop = this.text.length;
    else this.runs.push({ author: who, start, stop: this.text.length });
  }

  show() {
    this.due = 0;
    this.shown.replaceChildren(new Rendering(this.text, this.runs, this.calls).nodes());
    this.final();
    this.count();
  }

  final() {
    const found = finalAnswer(this.text);
    const said = found ? this.text.slice(found.from, found.to) : "";
    this.find(".final").hidden = !said.trim();
    if (!said.trim()) return;
    this.find(".final-value").replaceChildren(new Rendering(this.text, this.runs, []).part(found));
  }

  count() {
    const { student, teacher, command } = this.counts;
    const all = student + teacher + command;
    const ratio = all ? (100 * teacher) / all : 0;
    this.find(".meter .student").style.width = all ? 100 - ratio + "%" : "0";
    this.find(".meter .teacher").style.width = ratio + "%";
    const calls = this.calls.length;
    const words = `${teacher} of ${all} tokens by the teacher, ${calls} ${calls === 1 ? "call" : "calls"}`;
    this.find(".meter").setAttribute("aria-label", `call ratio ${ratio.toFixed(1)} percent`);
    this.find(".ratio").replaceChildren(bold(ratio.toFixed(1) + " %"), " call ratio · " + words);
    this.summary = `${this.title}: ${words}, call ratio ${ratio.toFixed(1)} percent`;
  }

  // A server with several teachers says of each call whose it was.
  name(calls) {
    for (const [index, { teacher }] of calls.entries()) {
      const call = this.calls[index];
      if (!call || !teacher) continue;
      call.teacher = teacher;
      const run = this.runs.find((one) => one.author === "teacher" && one.start === call.at);
      if (run) run.teacher = teacher;
    }
  }

  ledger(rows) {
    this.find("tbody").replaceChildren(...Object.entries(LEDGER).filter(([key]) => key in rows).map(([key, words]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      const told = document.createElement("small");
      head.scope = "row";
      told.textContent = words[1];
      head.append(words[0], told);
      row.append(head);
      row.insertCell().textContent = rows[key];
      return row;
    }));
  }

  finish() {
    if (!this.relay) return;
    const { ledger, degraded_by: withheld, stop_reasons: reasons } = this.relay;
    this.counts = { student: ledger.student_tokens, teacher: ledger.teacher_tokens, command: ledger.command_tokens };
    this.name(this.relay.calls);
    const seconds = ledger.student_seconds + ledger.teacher_seconds;
    const alone = teacherAlone(this.usage, ledger);
    const rows = { ...ledger, student_seconds: ledger.student_seconds.toFixed(2),
      teacher_seconds: ledger.teacher_seconds.toFixed(2) };
    const parts = [seconds.toFixed(1) + " s"];
    for (const name of REMOTE) if (!rows[name]) delete rows[name];
    if (ledger.cost == null) delete rows.cost;
    else parts.push(rows.cost = money(ledger.cost, ledger.currency));
    if (ledger.cost) rows.reading = reading(ledger);
    if (alone && ledger.cost != null) {
      rows.alone = money(alone, ledger.currency) + (FACTS.alone.name && ` (${FACTS.alone.name})`);
      parts.push(`${((100 * ledger.cost) / alone).toFixed(0)} % of the teacher alone`);
    }
    this.ledger(rows);
    this.find(".cost").textContent = parts.join(" · ");
    const notices = (withheld || []).map((reason) => WITHHELD[reason] || `Help was withheld (${reason}).`);
    if (!this.text) notices.push("The model ended its answer without a word. Ask again, or in other words.");
    if (reasons.includes("token_budget")) notices.push("The answer reached its limit of tokens.");
    this.find(".notice").textContent = notices.join(" ");
    this.find(".notice").hidden = !notices.length;
    $("model").textContent = `· version ${this.relay.version}, ${this.relay.alias}`;
  }

  code(name, text) {
    const pre = this.find(".code");
    const same = !pre.hidden && pre.dataset.name === name;
    pre.hidden = same;
    pre.dataset.name = name;
    pre.textContent = text;
    for (const one of ["curl", "python"]) this.find("." + one).setAttribute("aria-expanded", !same && one === name);
  }

  end() {
    cancelAnimationFrame(this.due);
    this.finish();
    this.show();
    this.shown.classList.remove("writing");
    this.find(".after").hidden = false;
  }
}

// 0 where it is not known: a price per second says nothing of a teacher that was not called.
function teacherAlone(usage, ledger) {
  const { alone } = FACTS;
  if (!alone || !usage || (alone.teacher_second && !ledger.teacher_tokens)) return 0;
  const written = ledger.student_tokens + ledger.teacher_tokens;
  const seconds = alone.teacher_second ? (ledger.teacher_seconds * written) / ledger.teacher_tokens : 0;
  return (alone.teacher * written + alone.teacher_read * usage.prompt_tokens) / 1e6 + alone.teacher_second * seconds;
}

function reading({ cost, cost_parts: parts }) {
  const read = Object.keys(parts).filter((name) => /_(read|cached)$/.test(name)).reduce((sum, name) => sum + parts[name], 0);
  return `${((100 * read) / cost).toFixed(0)} %`;
}

function money(amount, currency) {
  return `${amount.toLocaleString("en", { maximumSignificantDigits: 3, maximumFractionDigits: 12 })} ${currency}`;
}

function bold(text) {
  const figure = document.createElement("b");
  figure.textContent = text;
  return figure;
}
