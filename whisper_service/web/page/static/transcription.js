// One transcription: how far it is, and then its text beside the recording.

import { get, request, session } from "./api.js";
import { languageName, modelName } from "./format.js";
import { liveView } from "./live.js";
import { openReader } from "./reader.js";
import { heading, setTitle } from "./router.js";
import { h } from "./ui.js";

export async function transcription(page) {
	const { root, params, signal } = page;
	const load = () => get(`transcribe/${params[0]}`, { format: "verbose_json" }, signal);
	const title = heading("Transcription");
	const facts = h("p.hint", "Loading…");
	root.append(title, facts);
	let state = await load();
	if (!state.uuid) throw new Error("This is the address of a recording.");
	const owned = await findOwned(state, signal);
	const head = request(`file/${state.file_uuid}`, { method: "HEAD", signal });
	const media = await head.then(({ headers }) => headers.get("Content-Type"), () => null);
	const name = owned?.filename?.replace(/\.\w+$/, "") ?? "Transcription";
	title.textContent = name;
	setTitle(name);
	facts.textContent = modelName(state.model);
	const live = liveView(state, name, signal);
	if (live.ended) {
		root.append(live.element);
		await live.ended;
		live.element.remove();
		state = await load();
	}
	if (state.status === "failed") throw new Error(state.error);
	facts.append(`, ${languageName(state.language)}`);
	await openReader(page, state, media, name, Boolean(owned));
}

// Return what the list has of a transcription if it is the user's own.
async function findOwned({ uuid, file_uuid: file }, signal) {
	if (!session.id) return null;
	const { transcriptions } = await get("transcribe", { file, limit: 100 }, signal);
	return transcriptions.find((each) => each.uuid === uuid);
}
