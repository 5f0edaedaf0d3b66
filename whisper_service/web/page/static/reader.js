// Reading a transcript along with its recording.

import { ROOT } from "./api.js";
import { createEditor } from "./editor.js";
import { exportDialog } from "./export.js";
import { createPlayer, listenForKeys, showKeys } from "./player.js";
import { createSegmentList } from "./segment-list.js";
import { createSpoken } from "./spoken.js";
import { button, copy, h, on } from "./ui.js";
import { assignWords, indexAt, offsetAt } from "./words.js";

export async function openReader(page, state, media, name, isOwn) {
	const { root, query, signal } = page;
	const { uuid, data, file_uuid: file } = state;
	const { segments } = data;
	const isVideo = /^video/.test(media);
	const list = createSegmentList(data.task === "translate" ? "en" : data.language ?? "");
	const player = createPlayer(file, isVideo, data.duration, signal);
	const spoken = createSpoken(list, player, signal);
	assignWords(segments, data.words);
	const editor = isOwn && createEditor(page, state, list, player, spoken);

	const link = () => `${location.href.split("#")[0]}#/t/${uuid}?t=${player.time().toFixed(1)}`;
	const exportIt = async () => {
		if (editor) await editor.flush();
		await exportDialog(uuid, name, editor ? editor.isCorrected() : state.revision);
	};
	const tools = h(
		"div.tools",
		editor && editor.tools,
		button("Copy link", () => copy(link())),
		button("Export", exportIt),
		button("Keys", showKeys),
		editor && editor.status,
	);
	const silence = !segments.length && h("p", "There is no speech in this recording.");
	const note = h("p.hint", "The recording was deleted.");
	root.append(
		h(isVideo ? "div.with-video" : "div", isVideo && h("div", player.media), h("div", tools, silence, list.element)),
		h("div.dock", media ? player.element : note),
	);
	player.controls.append(spoken.resume);
	const src = `${ROOT}transcribe/${uuid}?format=vtt&download=true`;
	if (isVideo) player.media.append(h("track", { kind: "captions", src }));
	on(list.element, "click", (event) => playFrom(event, list, player));
	if (media) listenForKeys(player, list, signal);
	await list.show(segments);
	if (query.has("t")) openAt(Number(query.get("t")) || 0, list, player);
	spoken.update();
}

// Go to a moment, and play if a click led here.
function openAt(time, list, player) {
	const index = Math.max(indexAt(list.segments, time), 0);
	const show = () => list.row(index)?.scrollIntoView({ block: "center", behavior: "instant" });
	show();
	setTimeout(show, 100); // the heights of segments that were not in view were estimates
	player.seek(time);
	if (navigator.userActivation?.isActive) player.play();
}

// Play what was clicked: a word, or else its segment.
function playFrom(event, list, player) {
	const index = list.indexOf(event.target);
	const isText = event.target.localName === "p";
	const isTime = event.target.className === "time";
	if (!isTime && (!isText || list.isEditing || !getSelection().isCollapsed)) return;
	const segment = list.segments[index];
	const offset = isText ? offsetAt(event) : -1;
	const word = segment.words.find(({ from, to }) => from <= offset && offset <= to);
	list.setCurrent(index);
	player.seek((word ?? segment).start);
	player.play();
}
