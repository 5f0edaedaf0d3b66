// When each word of a segment is spoken. Segments and words are in order of time.

// Return the index of the last item that has started at a time; -1 before the first.
export function indexAt(items, time) {
	let [low, high] = [0, items.length];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (items[middle].start <= time) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}

export function offsetAt({ clientX, clientY }) {
	const caret = document.caretPositionFromPoint?.(clientX, clientY);
	return caret ? caret.offset : document.caretRangeFromPoint(clientX, clientY)?.startOffset;
}

// Give each segment its words with their places in its text; none if its text differs.
export function assignWords(segments, words = []) {
	let next = 0;
	for (const segment of segments) {
		let found = null;
		while (words[next]?.end < segment.start) next++;
		for (let first = next; !found && words[first]?.start <= segment.end; first++) {
			found = match(segment.text, words, first);
			if (found) next = first + found.length;
		}
		segment.words = found ?? [];
	}
}

function match(text, words, first) {
	const found = [];
	let to = 0;
	for (let index = first; text.slice(to).trim(); index++) {
		const { word, start, end } = words[index] ?? {};
		const from = to + text.slice(to).search(/\S/);
		if (!word || !text.startsWith(word, from)) return null;
		to = from + word.length;
		found.push({ from, to, start, end });
	}
	return found;
}

// Split a segment at a place of its text, and at the time when that is spoken.
export function split({ start, end, text, words }, offset) {
	const [before, after] = [text.slice(0, offset).trim(), text.slice(offset).trim()];
	const next = words.find(({ from }) => from >= offset);
	const time = next?.start ?? start + ((end - start) * offset) / text.length;
	const middle = Number(Math.min(Math.max(time, start + 0.001), end - 0.001).toFixed(3));
	const parts = [{ start, end: middle, text: before, words: [] }, { start: middle, end, text: after, words: [] }];
	return before && after ? parts : null;
}

export function join(first, second) {
	const isSpaceless = /[\p{scx=Han}\p{scx=Kana}\p{scx=Thai}]$/u.test(first.text);
	const text = `${first.text}${isSpaceless ? "" : " "}${second.text}`;
	return { start: first.start, end: second.end, text, words: [] };
}
