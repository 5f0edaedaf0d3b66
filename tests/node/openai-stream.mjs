// Streams a transcription with OpenAI's client: node openai-stream.mjs URL KEY FILE
import fs from "node:fs";
import OpenAI from "openai";

const [url, key, file] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });
const events = [];
const stream = await client.audio.transcriptions.create({
  file: fs.createReadStream(file),
  model: "gpt-4o-transcribe",
  stream: true,
  include: ["logprobs"],
});
for await (const event of stream) events.push(event);
const whole = await client.audio.transcriptions.create({
  file: fs.createReadStream(file),
  model: "whisper-1",
  response_format: "verbose_json",
});
console.log(JSON.stringify({ events, whole }));
