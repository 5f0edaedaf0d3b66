// Which view is shown, by the hash of the address; and the title of the window.

import { button, errorLine, h, on, say } from "./ui.js";

let current = null;
let shown = "";
let title = "";
let progress = "";

// Show the views that `find` returns with their parameters for a path. A view gets a page: the
// `root` to fill with a heading at once, `params`, the `query`, the `paging` for a list, and a
// `signal` that is aborted when the user leaves. It can set `mayLeave` to be asked before.
export function start(find) {
	const open = async () => {
		if (location.href === shown) return;
		if (current && !(await current.mayLeave())) history.replaceState(null, "", shown);
		else show(find);
	};
	on(window, "hashchange", open);
	open();
}

export function reload() {
	shown = "";
	dispatchEvent(new Event("hashchange"));
}

export function address() {
	const [path, query] = (location.hash.slice(1) || "/").split("?");
	return { path, query: new URLSearchParams(query) };
}

export function heading(text) {
	setTitle(text);
	return h("h1", { tabIndex: -1, dir: "auto" }, text);
}

export function setTitle(text) {
	title = text;
	document.title = [progress, title, "Whisper"].filter(Boolean).join(" – ");
}

export function setProgress(text) {
	progress = text;
	setTitle(title);
}

// The title says it until somebody looks.
export function tellDone(text) {
	say(text);
	if (document.hidden) setProgress("Done");
}

on(document, "visibilitychange", () => progress === "Done" && setProgress(""));

async function show(find) {
	const isFirst = !current;
	const controller = new AbortController();
	const root = h("div.view");
	const { path, query } = address();
	current?.controller.abort();
	shown = location.href;
	const paging = { page: query.get("page"), limit: 20 };
	current = { root, query, paging, controller, signal: controller.signal, mayLeave: async () => true };
	const [view, params] = find(path);
	if (!view) return;
	document.getElementById("main").replaceChildren(root);
	scrollTo({ top: 0, behavior: "instant" });
	const done = view(Object.assign(current, { params }));
	if (!isFirst) root.querySelector("h1").focus({ preventScroll: true });
	try {
		await done;
	} catch (error) {
		if (!controller.signal.aborted) root.append(errorLine(error.message), button("Try again", reload));
	}
}
