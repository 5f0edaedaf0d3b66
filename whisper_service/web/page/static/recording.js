// One recording of the list, and its transcriptions.

import { ROOT, call, get } from "./api.js";
import { bytes, clock, languageName, modelName, when } from "./format.js";
import { liveView } from "./live.js";
import { transcribeForm } from "./transcribe-form.js";
import { arrange, ask, button, check, errorLine, form, h } from "./ui.js";

// Return a function that updates a row and returns it. `changed` is called after a deletion.
export function recordingRow(file, signal, changed) {
	const name = h("h2", { dir: "auto", tabIndex: -1 });
	const facts = h("p.hint");
	const title = h("div.grow", name, facts);
	const panel = h("div");
	const list = transcriptionList(file, signal);
	const order = transcribeForm(file, () => {
		toggle();
		list.show();
	});

	const toggle = () => {
		const isOpen = !panel.firstChild;
		panel.replaceChildren(isOpen ? order.element : "");
		transcribe.ariaExpanded = isOpen;
		if (isOpen) order.open();
		else transcribe.focus();
	};
	const rename = () => {
		const done = () => {
			title.replaceChildren(name, facts);
			update(file);
			name.focus();
		};
		const save = async (values) => {
			file.filename = (await call("PATCH", `file/${file.uuid}`, values)).new_filename;
			done();
		};
		const props = { name: "filename", value: file.filename, maxLength: 255, dir: "auto" };
		const input = h("input", { ...props, ariaLabel: "New name" });
		title.replaceChildren(form("Save", save, input, done));
		input.select();
	};
	const transcribe = button("Transcribe", toggle, "", { ariaExpanded: false });
	const download = h("a.button", { href: `${ROOT}file/${file.uuid}` }, "Download");
	const erase = button("Delete", () => deleteRecording(file, list.uuids(), changed));
	const row = h("div.row", title, transcribe, button("Rename", rename), download, erase);
	const element = h("article.card", row, panel, list.element);

	const update = (newer) => {
		Object.assign(file, newer);
		name.textContent = download.download = file.filename;
		facts.replaceChildren(...described(file));
		order.showPrice();
		return element;
	};

	list.show();
	return update;
}

function described({ duration_seconds: seconds, size_bytes: size, uploaded_at: uploaded, status, error = "" }) {
	const facts = [seconds && clock(seconds), bytes(size), when(uploaded)].filter(Boolean).join(" · ");
	return [facts, " ", status === "converting" ? h("span.badge", "Being converted") : h("span.error", error)];
}

async function deleteRecording({ uuid, filename }, transcriptions, changed) {
	const erase = async ({ all }) => {
		await call("DELETE", `file/${uuid}`);
		if (all) for (const each of transcriptions) await call("DELETE", `transcribe/${each}`);
	};
	const warning = h("p", h("b", { dir: "auto" }, filename), " cannot be restored.");
	const too = transcriptions.length && check("Delete its transcripts too", { name: "all", checked: true });
	if (!(await ask("Delete this recording?", "Delete", erase, warning, too))) return;
	document.querySelector("h1").focus();
	await changed();
}

function transcriptionList(file, signal) {
	const list = h("ul.lines");
	const error = errorLine();
	const rows = {};
	let uuids = [];
	const refresh = async () => {
		const { transcriptions } = await get("transcribe", { file: file.uuid, limit: 100 }, signal);
		uuids = transcriptions.map(({ uuid }) => uuid);
		arrange(list, transcriptions.map((each) => (rows[each.uuid] ??= createRow(each, file, signal, refresh))));
	};
	const show = () => refresh().catch(({ message }) => (error.textContent = message));
	return { element: h("div", error, list), show, uuids: () => uuids };
}

function createRow(transcription, { filename }, signal, changed) {
	const { uuid, model, language, created_at: created } = transcription;
	const live = liveView(transcription, filename, signal, 300);
	const link = h("a", { href: `#/t/${uuid}` });
	const erase = button("", () => deleteTranscription(uuid, !live.ended, changed));
	const show = (spoken) => {
		link.textContent = `${modelName(model)}, ${languageName(spoken)}`;
		erase.textContent = live.ended ? "Cancel" : "Delete";
	};
	show(language);
	live.ended?.then((last) => {
		live.ended = null;
		show(last.language ?? language);
		return changed();
	}).catch(() => {});
	return h("li.row", h("div.grow", link, h("small", when(created)), live.element), erase);
}

async function deleteTranscription(uuid, isDone, changed) {
	const verb = isDone ? "Delete" : "Cancel";
	const warning = h("p", isDone ? "It cannot be restored." : "What is transcribed already is charged.");
	const erase = () => call("DELETE", `transcribe/${uuid}`);
	if (await ask(`${verb} this transcription?`, `${verb} transcription`, erase, warning)) await changed();
}
