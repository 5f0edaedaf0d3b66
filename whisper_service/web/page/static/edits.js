// The segments of a transcript as they are edited, with undo and redo.

// Typing that goes on within this time is undone at once.
const PAUSE_MILLISECONDS = 1500;

// Every edit puts `added` segments in the place of `removed` ones; undoing it exchanges them.
export function createEdits(segments, changed) {
	const [done, undone] = [[], []];

	const apply = (edit, inverses, details) => {
		const { index, removed, added } = edit;
		inverses.push({ index, removed: added, added: removed, ...details });
		segments.splice(index, removed.length, ...added);
		changed(edit);
	};
	const move = (from, to) => from.length && apply(from.pop(), to);
	const add = (edit, details) => {
		undone.length = 0;
		apply(edit, done, details);
	};

	return {
		segments,
		undo: () => move(done, undone),
		redo: () => move(undone, done),

		replace(index, count, ...added) {
			add({ index, removed: segments.slice(index, index + count), added });
		},

		type(index, text) {
			const last = done.at(-1);
			const goesOn = last?.typed === index && Date.now() - last.at < PAUSE_MILLISECONDS;
			const before = goesOn ? done.pop().added[0] : segments[index];
			const after = { ...before, text, words: [] };
			add({ index, removed: [before], added: [after], isTyped: true }, { typed: index, at: Date.now() });
		},
	};
}
