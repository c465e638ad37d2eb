// Markdown and TeX as DOM nodes, never as HTML text: what an answer says can be shown, not run.
const TAGS = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "table", "thead", "tbody",
  "tr", "th", "td", "em", "strong", "s", "hr", "br"]);
const PAIRS = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];
const MARKDOWN = window.markdownit ? window.markdownit({ html: false, breaks: true }).disable("image") : null;
if (MARKDOWN) {
  MARKDOWN.inline.ruler.before("escape", "math", mathRule);
  MARKDOWN.inline.ruler.before("emphasis", "times", timesRule);
}

// 18*17 is a product; Markdown would take what stands between two of them for emphasis.
function timesRule(state, silent) {
  const around = state.src.slice(Math.max(0, state.pos - 1), state.pos + 2);
  if (!/^[\w)]\*[\w(-]$/.test(around)) return false;
  if (!silent) state.pending += "*";
  state.pos += 1;
  return true;
}

function braced(text, open) {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "{") depth += 1;
    else if (text[at] === "}" && !(depth -= 1)) return at + 1;
  }
  return -1;
}

function mathAt(text, at) {
  if (text.startsWith("\\boxed{", at)) {
    const stop = braced(text, at + 6);
    return stop < 0 ? null : { stop, from: at, to: stop, display: false };
  }
  for (const [open, close, display] of PAIRS) {
    if (!text.startsWith(open, at)) continue;
    const from = at + open.length;
    const to = text.indexOf(close, from);
    const money = open === "$" && (/\s/.test(text[from] || " ") || /\s/.test(text[to - 1]) || /\d/.test(text[to + 1] || ""));
    return to <= from || money ? null : { stop: to + close.length, from, to, display };
  }
  return null;
}

function mathRule(state, silent) {
  const found = mathAt(state.src, state.pos);
  if (!found || found.stop > state.posMax) return false;
  if (!silent) {
    const token = state.push("math", "", 0);
    token.content = state.src.slice(found.from, found.to);
    token.meta = { display: found.display, source: state.src.slice(state.pos, found.stop) };
  }
  state.pos = found.stop;
  return true;
}

function finalAnswer(text) {
  const boxed = text.lastIndexOf("\\boxed{");
  const stop = boxed < 0 ? -1 : braced(text, boxed + 6);
  if (stop > 0) return { from: boxed + 7, to: stop - 1, tex: true };
  const line = [...text.matchAll(/^####[ \t]*(\S.*)$/gm)].pop();
  return line ? { from: line.index + line[0].length - line[1].length, to: line.index + line[0].length, tex: false } : null;
}

class Rendering {
  // `runs`: {author, start, stop, teacher?} over the text; `calls`: {at, n, teacher?}. Both in order.
  constructor(text, runs, calls) {
    Object.assign(this, { text, runs, calls: [...calls], at: 0, author: "" });
    this.lines = [0];
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.lines.push(at + 1);
  }

  nodes() {
    const all = document.createDocumentFragment();
    if (MARKDOWN) this.blocks(MARKDOWN.parse(this.text, {}), all);
    else this.write(this.text, all);
    this.callsBefore(Infinity, all.lastElementChild && all.lastElementChild.tagName === "P" ? all.lastElementChild : all);
    return all;
  }

  blocks(tokens, root) {
    const open = [root];
    for (const token of tokens) {
      const here = open[open.length - 1];
      if (token.map) this.at = Math.max(this.at, this.lines[token.map[0]] || 0);
      if (token.type === "inline") this.blocks(token.children, here);
      else if (token.nesting < 0) open.pop();
      else if (token.nesting > 0) open.push(here.appendChild(element(token)));
      else this.leaf(token, here);
    }
  }

  leaf(token, here) {
    if (token.type === "math") this.formula(token, here);
    else if (token.type === "code_inline") this.write(token.content, here.appendChild(document.createElement("code")));
    else if (token.type === "fence" || token.type === "code_block") {
      const code = here.appendChild(document.createElement("pre")).appendChild(document.createElement("code"));
      this.write(token.content, code);
    } else if (TAGS.has(token.tag)) here.append(document.createElement(token.tag));
    else if (token.type === "softbreak") here.append("\n");
    else this.write(token.content, here);
  }

  // Where each character of a piece of rendered text stands in the source.
  places(content) {
    const found = this.text.indexOf(content, this.at);
    if (found >= 0) {
      this.at = found + content.length;
      return Array.from({ length: content.length }, (_, index) => found + index);
    }
    return [...Array(content.length).keys()].map((index) => {
      const next = this.text.indexOf(content[index], this.at);
      if (next < 0) return Math.max(0, this.at - 1);
      this.at = next + 1;
      return next;
    });
  }

  run(at) { return this.runs.find((run) => at < run.stop) || this.runs[this.runs.length - 1] || { author: "student" }; }

  write(content, here) {
    const places = this.places(content);
    let from = 0;
    for (let index = 1; index <= content.length; index += 1) {
      const call = this.calls.length && this.calls[0].at > places[from] && this.calls[0].at <= places[index];
      if (index < content.length && this.run(places[index]) === this.run(places[from]) && !call) continue;
      this.piece(content.slice(from, index), places[from], here);
      from = index;
    }
  }

  piece(text, at, here) {
    this.callsBefore(at, here);
    const run = this.run(at);
    this.said(run, here);
    here.append(authored(run, text));
  }

  said(run, here) {
    if (run.author !== this.author) here.append(unseen(run.author + ": "));
    this.author = run.author;
  }

  callsBefore(at, here) {
    while (this.calls.length && this.calls[0].at <= at) here.append(callMark(this.calls.shift()));
  }

  // A part of the text by itself, such as the final answer.
  part({ from, to, tex }) {
    const all = document.createElement("span");
    const content = this.text.slice(from, to);
    const run = this.run(from);
    const place = { first: from, last: to - 1, from, display: false };
    this.at = from;
    if (!tex) this.write(content, all);
    else if (run.author === "teacher" && run.stop >= to) {  // all of it: marked as a whole
      const node = document.createElement("span");
      this.said(run, all);
      all.append(authored(run, typeset(content, node, false) ? node : content));
    } else if (!this.formulaAt(content, place, all)) this.write(content, all);
    return all;
  }

  formula({ content, meta }, here) {
    const places = this.places(meta.source);
    const [first, last] = [places[0], places[places.length - 1]];
    this.callsBefore(last, here);
    const place = { first, last, from: first + meta.source.indexOf(content), display: meta.display };
    if (this.formulaAt(content, place, here)) return;
    this.at = first;
    this.write(meta.source, here);
  }

  // Whether TeX that stands `from` there could be typeset; its source goes from `first` to `last`.
  formulaAt(content, { first, last, from, display }, here) {
    const teacher = this.runs.find((run) => run.author === "teacher" && run.stop > first && run.start <= last);
    const marked = teacher && this.marked(content, from);
    const node = document.createElement("span");
    node.className = display ? "math display" : "math";
    const apart = marked && typeset(marked, node, display, true);
    if (!apart && !typeset(content, node, display)) return false;
    this.said(teacher || this.run(first), here);
    here.append(teacher && !apart ? authored(teacher, node) : node);
    if (teacher) this.author = "";
    return true;
  }

  // The formula with the teacher's part in a class of its own; null where that part is no whole group of TeX.
  marked(tex, from) {
    if (tex.includes("\\html")) return null;
    let text = "";
    for (let at = 0; at < tex.length;) {
      const run = this.run(from + at);
      const part = tex.slice(at, Math.max(at + 1, run.stop - from));
      if (run.author === "teacher") {
        if (!/^[\w.,+=\s-]+$/.test(part) || /[_]/.test(part) || /[\\^_][a-zA-Z]*$/.test(tex.slice(0, at))) return null;
        text += `\\htmlClass{by-teacher}{${part}}`;
      } else text += part;
      at += part.length;
    }
    return text;
  }
}

function element(token) {
  const node = document.createElement(token.tag === "a" ? "a" : TAGS.has(token.tag) ? token.tag : "span");
  if (token.tag === "a") Object.assign(node, { href: token.attrGet("href"), target: "_blank", rel: "noopener noreferrer" });
  if (token.tag === "ol" && token.attrGet("start")) node.start = Number(token.attrGet("start"));
  return node;
}

function authored(run, content) {
  const node = document.createElement(run.author === "teacher" ? "mark" : "span");
  if (run.author === "teacher") node.title = "written by the teacher" + (run.teacher ? " " + run.teacher : "");
  node.append(content);
  return node;
}

function callMark({ n, teacher }) {
  const mark = document.createElement("sup");
  mark.textContent = "call " + n;
  mark.title = `call: the student asked ${teacher ? teacher + " " : ""}for ${n} ${n === 1 ? "token" : "tokens"}`;
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", mark.title);
  return mark;
}

function typeset(tex, node, displayMode, marks = false) {
  if (!window.katex) return false;
  try {
    const trust = ({ command }) => marks && command === "\\htmlClass";
    window.katex.render(tex, node, { displayMode, trust, strict: "ignore", maxExpand: 200, maxSize: 20 });
    return true;
  } catch { return false; }
}

function unseen(text) {
  const words = document.createElement("span");
  words.className = "unseen";
  words.textContent = text;
  return words;
}
