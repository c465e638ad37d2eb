// OpenAI's own package for Node: both routes for chats.
import OpenAI from 'openai';

const client = new OpenAI({baseURL: process.env.RELAY_URL, apiKey: 'none', maxRetries: 0});
const ask = {model: 'relay-decoder', messages: [{role: 'user', content: 'Pens?'}]};
const text = (await client.chat.completions.create(ask)).choices[0].message.content;
let streamed = '';
for await (const part of await client.chat.completions.create({...ask, stream: true}))
  streamed += part.choices[0]?.delta?.content ?? '';
if (streamed !== text) throw new Error(streamed);
const helped = await client.chat.completions.stream(ask).finalContent();
if (helped !== text) throw new Error(helped);
const response = await client.responses.create({model: 'relay-decoder', input: 'Pens?'});
if (response.output_text !== text) throw new Error(response.output_text);
console.log(text);
