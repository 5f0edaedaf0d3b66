// The wiring: views by address, and the header.

import { account } from "./account.js";
import { admin } from "./admin.js";
import { loadUser, session } from "./api.js";
import { recordings } from "./recordings.js";
import { address, heading, start } from "./router.js";
import { search } from "./search.js";
import { signIn, signInAgain, signInBefore, signOut } from "./signin.js";
import { transcription } from "./transcription.js";
import { button, h, on } from "./ui.js";

const VIEWS = new Map(Object.entries({ "": recordings, signin: signIn, t: transcription, search, account, admin }));
const PUBLIC = [signIn, transcription, notFound];

function find(path) {
	const [, name, ...params] = path.split("/");
	const view = VIEWS.get(name) ?? notFound;
	if (view === signIn && session.id) location.replace("#/");
	else if (!session.id && !PUBLIC.includes(view)) signInBefore(location.hash);
	else return [view, params];
	return [];
}

function notFound({ root }) {
	root.append(heading("There is nothing here"), h("a", { href: "#/" }, "Go to your recordings"));
}

function showHeader(root) {
	const brand = h("a.brand", { href: "#/" }, h("img", { src: "page/icon.svg", alt: "" }), "Whisper");
	const nav = h("nav", { ariaLabel: "Main" });
	const tools = [searchForm(), button("Sign out", signOut, "link")];
	const render = () => {
		const { username, is_admin: isAdmin } = session.user ?? {};
		const links = [link("", "Recordings"), isAdmin && link("admin", "Administration"), link("account", "Account")];
		nav.replaceChildren(...(username ? links.filter(Boolean) : [link("signin", "Sign in")]));
		for (const tool of tools) tool.hidden = !username;
	};
	root.append(brand, nav, ...tools);
	on(session, "change", render);
	on(window, "hashchange", render);
	render();
}

function link(name, text) {
	const isCurrent = address().path === `/${name}`;
	return h("a", { href: `#/${name}`, ...(isCurrent && { ariaCurrent: "page" }) }, text);
}

function searchForm() {
	const label = "Search transcripts";
	const value = address().query.get("q") ?? "";
	const box = h("input", { type: "search", value, placeholder: label, ariaLabel: label });
	const onSubmit = (event) => {
		event.preventDefault();
		if (box.value.trim()) location.hash = `#/search?${new URLSearchParams({ q: box.value.trim() })}`;
	};
	return h("form", { role: "search", onSubmit }, box, h("button", "Search"));
}

session.renew = signInAgain;
showHeader(document.getElementById("top"));
// A recording that is dropped beside its place would replace the page.
on(window, "dragover drop", (event) => event.preventDefault());
on(document.querySelector(".skip"), "click", () => document.getElementById("main").focus());
if (session.id) loadUser().catch(() => {});
start(find);
