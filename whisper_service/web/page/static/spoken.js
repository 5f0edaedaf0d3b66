// What is spoken: highlighting it, and scrolling along.

import { button, on } from "./ui.js";
import { indexAt } from "./words.js";

export function createSpoken(list, player, signal) {
	const highlight = CSS.highlights && new Highlight();
	let [row, word, follows] = [null, null, true];

	const update = () => {
		const index = indexAt(list.segments, player.time());
		const words = list.segments[index]?.words ?? [];
		const spoken = words[indexAt(words, player.time())];
		if (row !== list.row(index)) enter(index);
		else if (word === spoken) return;
		word = spoken;
		highlight?.clear();
		const node = list.text(index)?.firstChild;
		if (node?.length >= word?.to) highlight?.add(rangeOf(node, word));
	};
	const enter = (index) => {
		if (row) row.ariaCurrent = null;
		row = list.row(index);
		if (row) row.ariaCurrent = "true";
		if (!list.element.contains(document.activeElement)) list.setCurrent(Math.max(index, 0));
		if (follows) row?.scrollIntoView({ block: "nearest" });
	};
	const follow = (isOn) => {
		follows = isOn;
		resume.hidden = isOn;
		// Not smoothly: heights that were never in view are estimates.
		if (isOn) row?.scrollIntoView({ block: "center", behavior: "instant" });
	};
	const resume = button("Follow", () => follow(true), "", { hidden: true });
	const frame = () => {
		update();
		if (!player.media.paused) requestAnimationFrame(frame);
	};
	const scrolls = ({ type, key, clientX }) =>
		type === "keydown" ? /^(Page|Home|End)/.test(key) : clientX >= document.documentElement.clientWidth;

	CSS.highlights?.set("spoken", highlight);
	on(player.media, "play", frame);
	on(player.media, "seeked timeupdate", update);
	on(window, "wheel touchmove", () => follow(false), signal);
	on(window, "keydown pointerdown", (event) => scrolls(event) && follow(false), signal);
	return { update, follow, resume };
}

function rangeOf(node, { from, to }) {
	const range = new Range();
	range.setStart(node, from);
	range.setEnd(node, to);
	return range;
}
