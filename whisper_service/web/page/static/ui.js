// Elements, forms and dialogs. Text only ever goes into text nodes and properties.

// Create an element: h("p.hint", { id: "a" }, "text"). A function is a listener, as onClick.
export function h(name, props, ...children) {
	if (props?.constructor !== Object) return h(name, {}, props, ...children);
	const [tag, ...classes] = name.split(".");
	const element = document.createElement(tag);
	if (classes[0]) element.className = classes.join(" ");
	for (const [key, value] of Object.entries(props)) {
		if (typeof value === "function") on(element, key.slice(2).toLowerCase(), value);
		else if (key in element) element[key] = value;
		else element.setAttribute(key, value);
	}
	element.append(...children.flat(2).filter(Boolean));
	return element;
}

export function on(target, types, listener, signal) {
	for (const type of types.split(" ")) target.addEventListener(type, listener, { signal });
}

// Make these the children of a list, so that those which stay keep the focus.
export function arrange(list, elements) {
	for (const child of [...list.children]) if (!elements.includes(child)) child.remove();
	elements.forEach((element, index) => {
		if (list.children[index] !== element) list.insertBefore(element, list.children[index]);
	});
}

export function say(text) {
	const toast = document.getElementById("toast");
	clearTimeout(say.timer);
	toast.textContent = text;
	say.timer = setTimeout(say, 6000, "");
}

export function errorLine(text) {
	return h("div.error", { role: "alert" }, text);
}

// Return a label with its control, which can be the properties of an input.
export function field(label, control, hint) {
	const input = control.nodeType ? control : h("input", control);
	return h("label.field", h("span", label), input, hint && h("small", hint));
}

export function check(label, props) {
	return h("label.check", h("input", { type: "checkbox", ...props }), label);
}

export function button(label, run, className = "", props) {
	return h("button", { type: "button", onClick: once(run), className, ...props }, label);
}

// Return a listener that runs one call at a time; `show` gets the sentence of an error.
export function once(run, show = say) {
	let isBusy = false;
	return async (event) => {
		event.preventDefault();
		if (isBusy) return;
		const control = event.submitter ?? event.currentTarget;
		isBusy = true;
		show("");
		control.ariaBusy = "true"; // disabled, it would lose the focus
		try {
			await run(event);
		} catch (error) {
			if (error.name !== "AbortError") show(error.message);
		}
		control.ariaBusy = null;
		isBusy = false;
	};
}

export function form(label, run, children, cancel) {
	const error = errorLine();
	const submit = ({ target }) => run(Object.fromEntries(new FormData(target)));
	const onSubmit = once(submit, (text) => (error.textContent = text));
	const stop = cancel && button(label ? "Cancel" : "Close", cancel);
	return h("form", { onSubmit }, children, error, h("div.row", label && h("button.primary", label), stop));
}

// Show a form in a dialog; return whether `run` was done, or it was canceled.
export function ask(title, label, run, ...children) {
	return new Promise((resolve) => {
		const focused = document.activeElement;
		let isDone = false;
		const submit = async (values) => {
			await run(values);
			isDone = true;
			dialog.close();
		};
		const onClose = () => {
			dialog.remove();
			focused.blur(); // or Chrome leaves the cursor where it was in the dialog
			focused.focus();
			resolve(isDone);
		};
		const content = form(label, submit, children, () => dialog.close());
		const dialog = h("dialog", { ariaLabel: title, onClose }, h("h2", title), content);
		document.body.append(dialog);
		dialog.showModal();
	});
}

export function pager({ page, total_pages: pages }, link) {
	const step = (label, to) => to > 0 && to <= pages && h("a.button", { href: link(to) }, label);
	if (pages < 2 && page < 2) return "";
	const where = `Page ${page} of ${pages}`;
	return h("nav.row", { ariaLabel: "Pages" }, step("Previous", page - 1), where, step("Next", page + 1));
}

// Copy a text, or show it selected where the browser forbids that, as on plain HTTP.
export async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
		say("Copied.");
	} catch {
		const onFocus = ({ target }) => target.select();
		ask("Copy", "", null, field("Press Ctrl+C, or Command+C on a Mac.", { readOnly: true, value: text, onFocus }));
	}
}

export async function load(element, find) {
	try {
		element.replaceChildren(...[await find()].flat());
	} catch ({ message }) {
		element.replaceChildren(errorLine(message));
	}
}
