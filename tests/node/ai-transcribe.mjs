// Transcribes with Vercel's AI SDK: node ai-transcribe.mjs URL KEY FILE
import fs from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe as transcribe } from "ai";

const [url, key, file] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const audio = fs.readFileSync(file);
const plain = await transcribe({ model: openai.transcription("whisper-1"), audio });
const words = await transcribe({
  model: openai.transcription("whisper-1"),
  audio,
  providerOptions: { openai: { timestampGranularities: ["word"], keywords: ["Kennedy"] } },
});
const shown = ({ text, segments, language, durationInSeconds }) => ({
  text,
  segments,
  language,
  durationInSeconds,
});
console.log(JSON.stringify({ plain: shown(plain), words: shown(words) }));
