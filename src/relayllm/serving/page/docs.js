"use strict";
const QUESTION = "Eli has 14 boxes with 15 eggs in each box. Ana brings 4 more eggs. How many eggs are there in all?";
const BODIES = {
  "/v1/chat/completions": { messages: [{ role: "user", content: QUESTION }], relay: { max_calls: 4 } },
  "/v1/completions": { prompt: QUESTION, max_tokens: 96 },
  "/v1/responses": { input: QUESTION, max_output_tokens: 96 },
  "/invocations": { dataframe_records: [{ prompt: QUESTION }], params: { max_new_tokens: 96 } },
};

function make(tag, text, ...children) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function resolve(spec, schema) {
  return schema && schema.$ref ? schema.$ref.split("/").slice(1).reduce((place, key) => place[key], spec) : schema || {};
}

function kind(spec, schema) {
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.map((one) => kind(spec, one)).join(" | ");
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${kind(spec, schema.items || {})}`;
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  return schema.const ? JSON.stringify(schema.const) : schema.type || "anything";
}

function limits(schema) {
  const words = { minimum: "at least", maximum: "at most", exclusiveMinimum: "more than", exclusiveMaximum: "less than",
    maxLength: "characters at most", maxItems: "items at most" };
  const places = [schema, ...(schema.anyOf || [])];
  return places.flatMap((place) => Object.entries(words).filter(([key]) => key in place)
    .map(([key, word]) => `${word} ${place[key]}`)).join(", ");
}

function fields(spec, schema) {
  const table = make("table", "", make("thead", "", make("tr", "", make("th", "Field"), make("th", "Type"), make("th", ""))));
  const body = make("tbody");
  const required = schema.required || [];
  const rank = ([name, field]) => required.includes(name) ? 0 : /^(not supported|accepted and ignored)/.test(field.description) ? 2 : 1;
  for (const [name, field] of Object.entries(schema.properties || {}).sort((one, other) => rank(one) - rank(other))) {
    const needed = required.includes(name) ? "required. " : "";
    const preset = field.default !== undefined && field.default !== null ? ` Default ${JSON.stringify(field.default)}.` : "";
    const text = needed + [field.description, limits(field)].filter(Boolean).join("; ") + preset;
    body.append(make("tr", "", make("td", "", make("code", name)), make("td", kind(spec, field)), make("td", text)));
  }
  table.append(body);
  return table;
}

function tryOut(path, method) {
  const area = make("textarea");
  area.rows = 5;
  area.setAttribute("aria-label", `Body of ${path}`);
  area.value = JSON.stringify(BODIES[path], null, 2) || "";
  const out = make("pre");
  out.hidden = true;
  const button = make("button", "Try it");
  button.addEventListener("click", async () => {
    const post = method === "post";
    out.hidden = false;
    out.textContent = "...";
    const key = document.getElementById("key").value;
    const headers = { ...(post && { "content-type": "application/json" }), ...(key && { authorization: "Bearer " + key }) };
    const reply = await fetch("." + path, post ? { method: "POST", body: area.value, headers } : { headers });
    const text = await reply.text();
    out.textContent = `${reply.status}\n${text.startsWith("{") ? JSON.stringify(JSON.parse(text), null, 2) : text}`;
  });
  return [...(method === "post" ? [area] : []), button, out];
}

function route(spec, path, method, operation) {
  const block = make("details", "", make("summary", "", make("code", `${method.toUpperCase()} ${path}`),
    make("span", "  " + (operation.summary || ""))));
  const content = ((operation.requestBody || {}).content || {})["application/json"];
  if (content) {
    block.append(make("h2", "Body"), fields(spec, resolve(spec, content.schema)));
  }
  const answers = Object.entries(operation.responses || {}).map(([status, answer]) =>
    make("tr", "", make("td", status), make("td", answer.description || "")));
  block.append(make("h2", "Answers"), make("table", "", make("tbody", "", ...answers)));
  if (!path.includes("{")) block.append(...tryOut(path, method));
  return block;
}

async function show() {
  const spec = await (await fetch("openapi.json")).json();
  const blocks = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(spec, path, method, operation)));
  const parts = ["RelayOptions", "Message", "StreamOptions"].filter((name) => spec.components.schemas[name])
    .map((name) => make("details", "", make("summary", "", make("code", name)), fields(spec, spec.components.schemas[name])));
  document.getElementById("routes").replaceChildren(...blocks, make("h2", "Parts"), ...parts);
}

document.getElementById("key-row").hidden = !SETTINGS.keys;
show();
