// The user's own account, its API keys and its sessions.

import { ROOT, call, get, loadUser, session } from "./api.js";
import { number, when } from "./format.js";
import { heading, reload } from "./router.js";
import { passwordField, usernameField } from "./signin.js";
import { ask, button, check, copy, errorLine, field, form, h, load, once, say } from "./ui.js";

export async function account({ root, signal }) {
	root.append(heading("Account"));
	const user = await loadUser(signal);
	const sections = {
		Profile: profile(user),
		Password: passwordForm(user),
		"API keys": apiKeys(signal),
		Sessions: sessions(signal),
		"Delete account": button("Delete account", deleteAccount, "danger"),
	};
	root.append(...Object.entries(sections).map(([title, content]) => h("section.card", h("h2", title), content)));
}

function profile(user) {
	const rename = async ({ username }) => {
		await call("PATCH", "user", { username: username.trim() });
		await loadUser();
		say("The name was changed.");
	};
	return [
		h("p", `Balance: ${number(user.token_balance)} tokens.`),
		picture(user.avatar_uuid),
		form("Change name", rename, usernameField(user.username)),
	];
}

function picture(uuid) {
	const error = errorLine();
	const upload = async ({ target }) => {
		const content = new FormData();
		content.append("avatar", target.files[0]);
		await call("PATCH", "user", content);
		reload();
	};
	const onChange = once(upload, (text) => (error.textContent = text));
	const image = uuid && h("img.avatar", { alt: "Your picture", src: `${ROOT}user/avatar/${uuid}` });
	return [h("div.row", image, field("Picture", { type: "file", accept: "image/*", onChange })), error];
}

function passwordForm(user) {
	const change = async ({ old, fresh, keys }) => {
		const body = { old_password: old, password: fresh, revoke_keys: Boolean(keys) };
		await call("PATCH", "user", body);
		content.reset();
		say("The password was changed.");
	};
	const content = form("Change password", change, [
		h("input", { autocomplete: "username", value: user.username, hidden: true }), // for password managers
		passwordField("Current password", "old"),
		passwordField("New password", "fresh", true, "Your other sessions will end."),
		check("Also revoke all API keys", { name: "keys" }),
	]);
	return content;
}

async function deleteAccount() {
	const erase = ({ password }) => call("DELETE", "user", { password });
	const warning = h("p", "All of its recordings and transcripts are deleted.");
	const fields = [warning, passwordField("Password", "password")];
	if (!(await ask("Delete your account?", "Delete account", erase, fields))) return;
	session.set("", null);
	location.hash = "#/signin";
	say("Your account was deleted.");
}

function apiKeys(signal) {
	const { element, refresh } = loadingList(async () => (await get("user/token", {}, signal)).tokens, keyRow);
	const issued = h("div", { role: "status" });
	const create = async (values) => {
		const { token } = await call("POST", "user/token", values);
		const shown = h("div.row", h("code", token), button("Copy", () => copy(token)));
		content.reset();
		issued.replaceChildren(h("p", "Copy the new key now. It is not shown again."), shown);
		await refresh();
	};
	const name = { name: "name", required: true, maxLength: 255, autocomplete: "off" };
	const content = form("Create key", create, field("Name of a new key", name));
	return [element, content, issued];
}

function keyRow({ token_id: id, token, name, created_at: created }, changed) {
	const erase = () => call("DELETE", `user/token/${id}`);
	const warning = h("p", "Programs that use ", h("b", { dir: "auto" }, name), " lose access at once.");
	const revoke = async () => (await ask("Revoke this API key?", "Revoke", erase, warning)) && changed();
	return [name, `${token}, created ${when(created)}`, button("Revoke", revoke)];
}

function sessions(signal) {
	return loadingList(async () => (await get("user/session", {}, signal)).sessions, sessionRow).element;
}

function sessionRow({ session_id: id, started_at: started, user_agent: agent }, changed) {
	const end = async () => {
		await call("POST", "user/logout", { session_id: id });
		await changed();
	};
	const isOwn = id === session.id;
	const [browser] = /Firefox|Chrome|Safari/.exec(agent) ?? [];
	const [system] = /Android|iPhone|Windows|Mac OS|Linux/.exec(agent) ?? [];
	const name = browser && system ? `${browser} on ${system}` : agent;
	return [name, `Since ${when(started)}`, isOwn ? h("span.badge", "This session") : button("End", end)];
}

function loadingList(find, row) {
	const element = h("div", "Loading…");
	const line = ([name, facts, control]) =>
		h("li.row", h("div.grow", h("span", { dir: "auto" }, name), h("small", facts)), control);
	const refresh = () => load(element, async () => {
		const rows = (await find()).reverse().map((item) => line(row(item, refresh)));
		return rows.length ? h("ul.lines", rows) : "None yet.";
	});
	refresh();
	return { element, refresh };
}
