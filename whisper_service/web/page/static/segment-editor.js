// The segment that is edited, in its place: its text, and below it its times.

import { clock, exactClock, parseClock } from "./format.js";
import { button, errorLine, field, h } from "./ui.js";
import { join, split } from "./words.js";

export function createSegmentEditor(list, edits, player) {
	const { segments } = edits;
	let index = -1;

	const onInput = () => {
		edits.type(index, area.value.replaceAll("\n", " "));
		fit();
	};
	const onKeyDown = (event) => {
		const { key, ctrlKey, metaKey, shiftKey, isComposing } = event;
		const other = index + (shiftKey ? -1 : 1);
		const actions = ctrlKey || metaKey
			? { Enter: splitHere, " ": player.toggle }
			: { Enter: () => segments[other] && open(other), Backspace: !area.selectionEnd && (() => joinAt(index)) };
		if (isComposing || !actions[key]) return;
		event.preventDefault();
		actions[key]();
	};
	const area = h("textarea", { rows: 1, dir: "auto", onInput, onKeyDown });
	const timeField = (label, name) => {
		const onChange = ({ target }) => setTime(name, parseClock(target.value));
		return field(label, { autocomplete: "off", onChange });
	};
	const [start, end] = [timeField("Start", "start"), timeField("End", "end")];
	const error = errorLine();
	const buttons = [
		button("Split", () => splitHere()),
		button("Join with previous", () => joinAt(index)),
		button("Delete", () => edits.replace(index, 1)),
	];
	const element = h("div.segment-editor", area, h("div.row", start, end, buttons), error);

	const fit = () => {
		area.style.height = "auto";
		area.style.height = `${area.scrollHeight + 2}px`;
	};
	const splitHere = () => {
		const parts = split(segments[index], area.selectionStart);
		if (parts) edits.replace(index, 1, ...parts);
	};
	const joinAt = (second) => {
		if (second > 0) edits.replace(second - 1, 2, join(segments[second - 1], segments[second]));
	};
	const setTime = (name, value) => {
		error.textContent = value >= 0 ? "" : "Write a time as 1:23.450.";
		if (value >= 0) edits.replace(index, 1, { ...segments[index], [name]: value });
	};

	// Edit another segment, or none for -1; one that was emptied is deleted.
	const open = (to, offset = 0, takesFocus = true) => {
		if (to !== index && segments[index]?.text.trim() === "") {
			const emptied = index;
			index = -1;
			edits.replace(emptied, 1);
			return open(to > emptied ? to - 1 : to, offset, takesFocus);
		}
		const row = list.row(to);
		element.parentElement?.classList.remove("edited");
		index = row ? to : -1;
		if (!row) return element.remove();
		const segment = segments[index];
		if (!row.contains(element)) row.append(element);
		row.classList.add("edited");
		area.ariaLabel = `Text at ${clock(segment.start)}`;
		start.children[1].value = exactClock(segment.start);
		end.children[1].value = exactClock(segment.end);
		error.textContent = "";
		area.value = segment.text;
		area.setSelectionRange(offset, offset);
		fit();
		list.setCurrent(index);
		if (takesFocus) area.focus();
		return row.scrollIntoView({ block: "nearest" });
	};
	return open;
}
