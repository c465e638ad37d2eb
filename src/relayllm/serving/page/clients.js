// The same request for a shell and for Python. The key is a variable there, never the key itself.
function asCurl(body) {
  const quoted = JSON.stringify({ ...body, stream: false }, null, 1).replaceAll("'", "'\\''");
  return [`curl ${new URL("v1/chat/completions", location.href)} \\`, "  -H 'content-type: application/json' \\",
    ...(SETTINGS.keys ? ['  -H "authorization: Bearer $RELAY_API_KEY" \\'] : []), `  -d '${quoted}'`].join("\n");
}

function asPython({ messages, relay }) {
  return ["import json", ...(SETTINGS.keys ? ["import os"] : []), "", "from openai import OpenAI", "",
    `client = OpenAI(base_url="${new URL("v1", location.href)}",`,
    `                api_key=${SETTINGS.keys ? 'os.environ["RELAY_API_KEY"]' : '"none"'})`,
    "answer = client.chat.completions.create(", `    model=${JSON.stringify(FACTS.model || "relay-decoder")},`,
    `    messages=json.loads(${JSON.stringify(JSON.stringify(messages))}),`,
    `    extra_body=json.loads(${JSON.stringify(JSON.stringify({ relay }))}))`,
    "print(answer.choices[0].message.content)", 'print(answer.relay["call_ratio"])'].join("\n");
}
