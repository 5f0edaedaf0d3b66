// All accounts, for administrators.

import { call, get } from "./api.js";
import { bytes, clock, number } from "./format.js";
import { heading } from "./router.js";
import { ask, button, field, h, pager } from "./ui.js";

const NOTE = "Price in tokens per second; transcriptions, audio, and uploads of 30 days.";
const COLUMNS = {
	Balance: (user) => number(user.token_balance),
	Price: (user) => number(user.price_multiplier),
	Transcriptions: (_, { last_30_days: recent }) => number(recent.transcriptions_count),
	Audio: (_, { last_30_days: recent }) => clock(recent.total_audio_seconds),
	Uploads: (_, { last_30_days: recent }) => number(recent.files_uploaded),
	Storage: (_, stats) => bytes(stats.total_storage_bytes),
	Sessions: (_, stats) => number(stats.active_sessions),
	Keys: (_, stats) => number(stats.api_keys_count),
};

export async function admin({ root, paging, signal }) {
	const body = h("div", "Loading…");
	root.append(heading("Administration"), h("p.hint", NOTE), body);
	const load = async () => {
		const { users, pagination } = await get("admin/users", paging, signal);
		body.replaceChildren(table(users, load), pager(pagination, (page) => `#/admin?page=${page}`));
	};
	await load();
}

function table(users, changed) {
	const head = ["User", ...Object.keys(COLUMNS)].map((name) => h("th", { scope: "col" }, name));
	const row = (user) => {
		const { username, is_admin: isAdmin } = user;
		const name = h("th", { scope: "row" }, username, isAdmin && h("span.badge", "admin"));
		const edit = button("Edit", () => editUser(user, changed));
		return h("tr", name, Object.values(COLUMNS).map((show) => h("td", show(user, user.stats))), h("td", edit));
	};
	const content = h("table", h("thead", h("tr", head, h("td"))), h("tbody", users.map(row)));
	return h("div.scroll", { tabIndex: 0, role: "region", ariaLabel: "Users" }, content);
}

async function editUser({ uuid, username, token_balance: balance, price_multiplier: multiplier }, changed) {
	const props = { type: "number", min: 0, step: "any", required: true };
	const fields = [
		field("Balance in tokens", { ...props, name: "tokens", value: balance }),
		field("Price in tokens per second", { ...props, name: "price", max: 1000, value: multiplier }),
	];
	const save = ({ tokens, price }) => {
		// A balance that was not touched may have changed meanwhile.
		const token_balance = Number(tokens) === balance ? null : Number(tokens);
		return call("PATCH", `admin/users/${uuid}`, { token_balance, price_multiplier: Number(price) });
	};
	if (await ask(username, "Save", save, fields)) await changed();
}
