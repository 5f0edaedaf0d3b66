// Signing in: as a view, and as a dialog when a session has ended.

import { call, loadUser, session } from "./api.js";
import { heading } from "./router.js";
import { ask, button, field, form, h } from "./ui.js";

let destination = "#/";

export function signInBefore(hash) {
	destination = hash || "#/";
	location.replace("#/signin");
}

export function signIn({ root }) {
	const show = (isNew) => {
		const title = isNew ? "Create an account" : "Sign in";
		const submit = async (values) => {
			await enter(isNew ? "register" : "login", values);
			location.replace(destination);
		};
		const toggle = () => {
			show(!isNew);
			root.querySelector("h1").focus();
		};
		const other = button(isNew ? "I have an account" : "Create an account", toggle, "link");
		root.replaceChildren(heading(title), form(title, submit, credentials(isNew)), other);
	};
	root.classList.add("narrow");
	show(false);
}

export async function signInAgain() {
	const text = h("p", "Sign in again to go on. What you wrote is kept.");
	const fields = credentials(false, session.user?.username);
	const isDone = await ask("Your session has ended", "Sign in", (values) => enter("login", values), text, fields);
	if (!isDone) session.set("", null);
	return isDone;
}

export async function signOut() {
	await call("POST", "user/logout").catch(() => {});
	session.set("", null);
	destination = "#/";
	location.hash = "#/signin";
}

async function enter(path, { username, password }) {
	const body = { username: username.trim(), password };
	session.id = (await call("POST", `user/${path}`, body)).session_id;
	await loadUser();
}

function credentials(isNew, username = "") {
	return [usernameField(username), passwordField("Password", "password", isNew)];
}

export function usernameField(value) {
	const props = { value, required: true, autocapitalize: "none", spellcheck: false };
	return field("Username", { name: "username", autocomplete: "username", ...props });
}

export function passwordField(label, name, isNew, hint) {
	const autocomplete = isNew ? "new-password" : "current-password";
	return field(label, { name, autocomplete, type: "password", required: true }, hint);
}
