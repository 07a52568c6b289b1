'use strict';
// Elements, numbers and times. Text from captures gets into the page through
// textContent only, and clean() first makes visible what would not be.

const PARTIES = ['client', 'network', 'server', 'unknown'];
const BLAMED = [...PARTIES, 'none']; // whom a slow one is blamed on
const partyName = (party) => (party === 'none' ? 'nobody' : party);
const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes || {})) {
		if (value === null || value === undefined || value === false) {
			continue;
		}
		if (name.startsWith('on')) {
			element.addEventListener(name.slice(2), value);
		} else {
			element.setAttribute(name, value === true ? '' : value);
		}
	}
	element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
	return element;
}

// An element of HTML, or of SVG.
const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// A picture: what it is for whoever does not see it, then what is in it.
let nPictures = 0;
function picture(attributes, title, description, ...children) {
	const id = 'picture' + ++nPictures;
	return svg('svg', {role: 'img', 'aria-labelledby': id + 't ' + id + 'd', ...attributes},
		svg('title', {id: id + 't'}, title), svg('desc', {id: id + 'd'}, description), ...children);
}

// Controls, and what is invisible or turns the direction of text, as escapes.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
function clean(text) {
	return text.replace(INVISIBLE, (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

function threeDigits(v) {
	return v.toFixed(v < 9.995 ? 2 : v < 99.95 ? 1 : 0);
}

// "97.0 ms", as the text report writes it.
function duration(ns) {
	const v = Math.abs(ns), sign = ns < 0 ? '-' : '';
	if (v === 0) {
		return '0 s';
	}
	const [unit, name] = v < 1e3 ? [1, 'ns'] : v < 999.5e3 ? [1e3, 'us'] : v < 999.5e6 ? [1e6, 'ms'] :
		v < 999.5e9 ? [1e9, 's'] : v < 359964e9 ? [60e9, 'min'] : [3600e9, 'h'];
	return sign + (unit === 1 ? v.toFixed(0) : threeDigits(v / unit)) + '\u00a0' + name;
}

const grouped = new Intl.NumberFormat('en-US');
const count = (n) => grouped.format(n);
const counted = (n, noun) => count(n) + '\u00a0' + noun + (n === 1 ? '' : 's');

// Never 0 or 100 unless it is.
function percent(part, whole) {
	const v = whole > 0 ? 100 * part / whole : 0;
	const text = part > 0 && v < 0.1 ? '<0.1' : part < whole && v > 99.9 ? '99.9' : v.toFixed(v < 99.95 ? 1 : 0);
	return text + '\u00a0%';
}

// "2026-11-23 07:58:04.353", of the report's ISO 8601.
function instant(iso, digits = 3) {
	return iso.slice(0, 10) + ' ' + iso.slice(11, 19 + (digits > 0 ? 1 + digits : 0));
}

// The width to draw a graph for, so that its text is as large as the page's; it scales if that changes later.
function roomFor() {
	return Math.max(340, Math.min(1400, document.getElementById('main').clientWidth - 32));
}

// Round steps (1, 2, 5 times a power of ten) that cut a range in about n.
function steps(from, to, n) {
	const raw = (to - from) / n || 1, power = 10 ** Math.floor(Math.log10(raw));
	const step = power * [1, 2, 5, 10].find((k) => k * power >= raw * 0.999);
	const marks = [];
	for (let v = Math.ceil(from / step) * step + 0; v <= to + step * 1e-6; v += step) {
		marks.push(v);
	}
	return marks;
}

// The colours of the parties as patterns, so that colour is not all there is
// to tell them by. Each picture has its own: an id counts in the whole page.
function patterns() {
	const id = 'p' + ++nPictures + '-';
	const make = (party, size, ...marks) => svg('pattern',
		{id: id + party, width: size, height: size, patternUnits: 'userSpaceOnUse'},
		svg('rect', {width: size, height: size, class: 'fill-' + party}), ...marks);
	const defs = svg('defs', {},
		make('client', 8, svg('path', {d: 'M-2 2l4-4M0 8l8-8M6 10l4-4', class: 'texture'})),
		make('network', 6, svg('circle', {cx: 3, cy: 3, r: 1, class: 'texture-dot'})),
		make('server', 8),
		make('unknown', 6, svg('path', {d: 'M0 3h6M3 0v6', class: 'texture'})),
		make('none', 8));
	return {defs, of: (party) => `url(#${id}${party})`};
}

// A swatch of a party, for legends.
function swatch(party) {
	const paint = patterns();
	return svg('svg', {class: 'swatch', width: 14, height: 14, 'aria-hidden': 'true'}, paint.defs,
		svg('rect', {width: 14, height: 14, rx: 2, fill: paint.of(party)}));
}

const badge = (party) => h('span', {class: 'badge badge-' + party}, partyName(party));

// Copies a text and says so on the button.
async function copy(text, button, live) {
	let done = false;
	try {
		await navigator.clipboard.writeText(text);
		done = true;
	} catch (error) { // not allowed to pages that were opened from a file, in some browsers
		const area = h('textarea', {class: 'offscreen', readonly: true});
		area.value = text;
		document.body.append(area);
		area.select();
		done = document.execCommand('copy');
		area.remove();
		button.focus();
	}
	const before = button.dataset.label || (button.dataset.label = button.textContent);
	button.textContent = done ? 'Copied' : 'Not copied';
	live.textContent = done ? 'Copied to the clipboard' : 'The clipboard is not available';
	setTimeout(() => { button.textContent = before; }, 1500);
}
