// Vercel's AI SDK: its provider for compatible servers, and OpenAI's over each route.
import {createOpenAI} from '@ai-sdk/openai';
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {generateText, streamText} from 'ai';

const ours = {baseURL: process.env.RELAY_URL, apiKey: 'none'};
const compatible = createOpenAICompatible({...ours, name: 'relay', includeUsage: true}), openai = createOpenAI(ours);
const models = [compatible('relay-decoder'), compatible.completionModel('relay-decoder'), openai('relay-decoder'),
                openai.chat('relay-decoder'), openai.completion('relay-decoder')];
let text;
for (const model of models) {
  const ask = {model, system: 'Be brief.', prompt: 'Pens?', maxRetries: 0};
  ({text} = await generateText(ask));
  const stream = streamText(ask);
  let streamed = '';
  for await (const part of stream.textStream) streamed += part;
  if (streamed !== text || !((await stream.usage).outputTokens > 0)) throw new Error(`${model.provider}: ${streamed}`);
}
console.log(text);
