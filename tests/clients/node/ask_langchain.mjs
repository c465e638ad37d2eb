// LangChain.js: a chat over both routes for it, and a text.
import {ChatOpenAI, OpenAI} from '@langchain/openai';

const ours = {model: 'relay-decoder', apiKey: 'none', maxRetries: 0, configuration: {baseURL: process.env.RELAY_URL}};
let text;
for (const model of [new ChatOpenAI(ours), new ChatOpenAI({...ours, useResponsesApi: true}), new OpenAI(ours)]) {
  const answer = await model.invoke('Pens?');
  text = answer.text ?? answer;
  let streamed = '';
  for await (const part of await model.stream('Pens?')) streamed += part.text ?? part;
  if (streamed !== text) throw new Error(streamed);
}
console.log(text);
