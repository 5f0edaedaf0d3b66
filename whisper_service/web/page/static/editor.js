// Correcting a transcript.

import { get } from "./api.js";
import { createEdits } from "./edits.js";
import { reload } from "./router.js";
import { createSaving } from "./saving.js";
import { createSegmentEditor } from "./segment-editor.js";
import { ask, button, h, on } from "./ui.js";
import { assignWords, indexAt, offsetAt } from "./words.js";

export function createEditor(page, { uuid, data, revision }, list, player, spoken) {
	const path = `transcribe/${uuid}`;
	const { segments } = data;
	let original = null;
	let isOriginal = false;

	const load = async (version) => {
		const answer = await get(path, { format: "verbose_json", version }, page.signal);
		assignWords(answer.data.segments, answer.data.words);
		return answer.data.segments;
	};
	const onEdit = ({ index, removed, added, isTyped }) => {
		saving.change();
		if (!isOriginal) list.replace(index, removed.length, added);
		const [at, offset] = caretAfter(index, removed, added);
		// A tool or a time that was used keeps the focus.
		const takesFocus = removed[0]?.text !== added[0]?.text && !document.activeElement.matches(".tools *");
		if (list.isEditing && !isTyped) open(Math.min(at, segments.length - 1), offset, takesFocus);
		spoken.update();
	};
	const onSaving = (state, message, segment) => {
		list.element.querySelector(".refused")?.classList.remove("refused");
		list.row(segments.indexOf(segment))?.classList.add("refused");
		const conflict = "Not saved: another tab, or somebody else, saved first.";
		const text = { saved: "Saved", saving: "Saving…", conflict };
		status.classList.toggle("error", !/^sav/.test(state));
		status.replaceChildren(text[state] ?? `Not saved: ${message}`, ...(state === "conflict" ? choices : []));
		showTools();
	};
	const loadTheirs = () => {
		saving.drop();
		reload();
	};
	const keepMine = async () => saving.overwrite((await get(path, { format: "json" })).revision);
	const choices = [button("Load theirs", loadTheirs), button("Keep mine", keepMine)];

	const edits = createEdits(segments, onEdit);
	const saving = createSaving(path, segments, revision, onSaving, page.signal);
	const open = createSegmentEditor(list, edits, player);

	const setEditing = (isOn) => {
		list.isEditing = isOn;
		list.element.classList.toggle("editing", isOn);
		open(isOn ? Math.max(indexAt(segments, player.time()), 0) : -1);
		if (isOn) spoken.follow(false);
		showTools();
	};
	const toggleEditing = async () => {
		setEditing(!list.isEditing);
		if (list.isEditing || !(await saving.flush())) return;
		// The API knows when the words of corrected segments are spoken.
		const known = await load();
		if (list.isEditing || known.length !== segments.length) return;
		known.forEach((each, at) => {
			if (segments[at].text !== each.text) list.replace(at, 1, [each]);
			Object.assign(segments[at], each);
		});
	};
	const toggleOriginal = async () => {
		original ??= await load("original");
		isOriginal = !isOriginal;
		showTools();
		await list.show(isOriginal ? original : segments);
		spoken.update();
	};
	const restore = async () => {
		edits.replace(0, segments.length, ...original.map((each) => ({ ...each })));
		await toggleOriginal();
		setEditing(true);
	};

	const edit = button("Edit", toggleEditing);
	const [undo, redo] = [button("Undo", edits.undo), button("Redo", edits.redo)];
	const showOriginal = button("Show original", toggleOriginal);
	const restoreOriginal = button("Restore original", restore);
	const status = h("span.status", { role: "status" });
	const showTools = () => {
		edit.hidden = isOriginal;
		edit.ariaPressed = Boolean(list.isEditing);
		undo.hidden = redo.hidden = !list.isEditing;
		showOriginal.hidden = list.isEditing || !saving.revision();
		showOriginal.ariaPressed = isOriginal;
		restoreOriginal.hidden = !isOriginal;
	};

	on(list.element, "click", (event) => {
		const { target } = event;
		if (list.isEditing && target.localName === "p") open(list.indexOf(target), offsetAt(event));
	});
	on(window, "keydown", (event) => {
		const { key, ctrlKey, metaKey, shiftKey, target } = event;
		const isUndo = key.toLowerCase() === "z" && (ctrlKey || metaKey);
		if (!isUndo || !list.isEditing || target.closest("input, dialog")) return;
		event.preventDefault();
		if (shiftKey) edits.redo();
		else edits.undo();
	}, page.signal);
	const warning = () => h("p", "The last corrections would be lost.");
	page.mayLeave = async () => (await saving.flush()) || ask("Leave without saving?", "Leave", saving.drop, warning());
	showTools();

	const tools = [edit, undo, redo, showOriginal, restoreOriginal];
	return { tools, status, flush: saving.flush, isCorrected: () => saving.revision() > 0 };
}

// Return where to go on after an edit: the segment, and the place in its text.
function caretAfter(index, removed, added) {
	if (added.length > removed.length) return [index + removed.length, 0];
	if (removed.length === 2 && added.length === 1) return [index, removed[0].text.length];
	const [before = "", after = ""] = [removed, added].map(([segment]) => segment?.text);
	let same = 0;
	while (same < after.length && before.at(-1 - same) === after.at(-1 - same)) same++;
	return [index, after.length - same];
}
