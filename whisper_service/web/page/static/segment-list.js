// The text of a transcript: a list item with one text node for each segment.

import { clock } from "./format.js";
import { h } from "./ui.js";

// Segments built at once, and laid out once in view: each by itself, 4,000 cost 60 ms a frame.
const GROUP = 50;
// How long rows are built before the browser may do something else.
const TASK_MILLISECONDS = 20;

export function createSegmentList(lang) {
	const element = h("section.segments", { lang, ariaLabel: "Transcript" });
	let rows = [];
	let current = null;

	const list = {
		element,
		segments: [],
		row: (index) => rows[index],
		text: (index) => rows[index]?.children[1],
		indexOf: (node) => rows.indexOf(node.closest("li")),

		async show(segments) {
			const mine = (rows = []);
			let pause = performance.now() + TASK_MILLISECONDS;
			list.segments = segments;
			element.replaceChildren();
			while (mine === rows && rows.length < segments.length) {
				const group = segments.slice(rows.length, rows.length + GROUP).map(createRow);
				element.append(h("ol", group));
				rows.push(...group);
				if (performance.now() < pause) continue;
				await new Promise((resolve) => setTimeout(resolve));
				pause = performance.now() + TASK_MILLISECONDS;
			}
		},

		replace(index, count, added) {
			const before = rows[index - 1];
			if (added.length > GROUP || !(before || count)) return list.show(list.segments);
			if (count === 1 && added.length === 1) return fill(rows[index], added[0]);
			const fresh = added.map(createRow);
			const old = rows.splice(index, count, ...fresh);
			if (count) old[0].before(...fresh);
			else before.after(...fresh);
			return old.forEach((row) => row.remove());
		},

		// Make one segment the one that the Tab key goes to.
		setCurrent(index) {
			if (current) current.firstChild.tabIndex = -1;
			current = rows[index];
			if (current) current.firstChild.tabIndex = 0;
		},
	};
	return list;
}

function createRow(segment) {
	const time = h("button.time", { type: "button", tabIndex: -1 });
	return fill(h("li", time, h("p", { dir: "auto" })), segment);
}

function fill(row, { start, text }) {
	const [time, paragraph] = row.children;
	time.textContent = clock(start);
	time.ariaLabel = `Play from ${clock(start)}`;
	paragraph.textContent = text;
	return row;
}
