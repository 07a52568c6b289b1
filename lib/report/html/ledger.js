// The ledger: where a transaction's time went, as one bar in time.

// Of a party's causes some are drawn paler or stronger: they are to be told apart where they follow each other.
const SHADES = {
	client: ['client.window', 'client.pause', 'client.delayed_ack'],
	network: ['network.rtt', 'network.transfer', 'network.loss', 'network.connect', 'network.mtu'],
	server: ['server.think', 'server.pause', 'server.window', 'server.delayed_ack', 'server.connect'],
	unknown: ['unknown.capture'],
};

const partyOf = (cause) => (PARTIES.includes(cause.split('.')[0]) ? cause.split('.')[0] : 'unknown');

// How much paler or stronger than its party's colour a cause is drawn, from -1 to 1.
function shadeOf(cause) {
	const party = partyOf(cause), at = SHADES[party].indexOf(cause);
	return party === 'network' ? [-0.45, 0, 0.45, 0.45, 0.45][at] || 0 : [0, -0.3, 0.3, 0.5, -0.5][at] || 0;
}

// The causes, those of a party together.
function ledgerParts(ledger) {
	return Object.entries(ledger).map(([cause, ns]) => ({cause, ns, party: partyOf(cause)}))
		.sort((a, b) => PARTIES.indexOf(a.party) - PARTIES.indexOf(b.party) || b.ns - a.ns);
}

// The stretches of time as they follow each other; none of what took less than 10 ms, or comes from an older analyze.
function stretchesOf(detail) {
	let from = 0;
	return (detail.stretches || []).map(([cause, ns, other]) => {
		from += ns;
		return {cause, ns, other, from: from - ns, party: partyOf(cause)};
	});
}

// Of cause and time, and of what was taken together.
function stretchWords(one) {
	return `${one.other > 0 ? 'mostly ' : ''}${one.cause} for ${duration(one.ns)}, from ${duration(one.from)} on` +
		(one.other > 0 ? `; ${duration(one.other)} of it other causes` : '');
}

// A party's pattern, paler or stronger.
function shaded(attributes, cause, paint, ...children) {
	const shade = shadeOf(cause);
	return [svg('rect', {...attributes, fill: paint.of(partyOf(cause)), class: 'bar'}, ...children),
		shade === 0 ? null : svg('rect', {...attributes, class: shade < 0 ? 'paler' : 'stronger', 'fill-opacity': Math.abs(shade)})];
}

// A swatch of a cause.
function causeSwatch(cause) {
	const paint = patterns();
	return svg('svg', {class: 'swatch', width: 14, height: 14, 'aria-hidden': 'true'}, paint.defs,
		shaded({width: 14, height: 14, rx: 2}, cause, paint));
}

// Names above the bar, of the longest first, where there is room.
function stretchNames(boxes, W, y) {
	const taken = [];
	return svg('g', {class: 'names'}, [...boxes].sort((a, b) => b.width - a.width).map(({part, x, width}) => {
		const name = (part.other > 0 ? 'mostly ' : '') + part.cause.split('.')[1] + ' ' + duration(part.ns), end = x + name.length * 6.6 + 8;
		if (width < 24 || end > W || taken.some(([from, to]) => x < to && end > from)) {
			return null;
		}
		taken.push([x, end]);
		return svg('text', {x, y}, name);
	}));
}

function drawLedger(verdict, detail, page) {
	const parts = ledgerParts(verdict.ledger), stretches = stretchesOf(detail);
	const inTime = stretches.length > 0;
	const sum = parts.reduce((total, part) => total + part.ns, 0) || 1;
	const W = roomFor(), H = 30, top = inTime ? 18 : 0, paint = patterns();
	let before = 0;
	const boxes = (inTime ? stretches : parts).map((part) => {
		const x = Math.min(W * before / sum, W - 2), width = Math.max(2, W * part.ns / sum);
		before += part.ns;
		return {part, x, width};
	});
	// The narrow ones are not to be covered.
	const bar = svg('g', {}, [...boxes].sort((a, b) => b.width - a.width).map(({part, x, width}) => svg('g', {},
		svg('title', {}, inTime ? stretchWords(part) : `${part.cause} ${duration(part.ns)}, ${percent(part.ns, sum)}`),
		shaded({x, y: top, width, height: H}, part.cause, paint))));
	const names = inTime ? stretchNames(boxes, W, top - 5) : null;
	const axis = svg('g', {class: 'axis'});
	for (const t of steps(0, sum, W < 600 ? 3 : 6)) {
		const x = W * t / sum;
		axis.append(svg('line', {x1: x, x2: x, y1: top + H, y2: top + H + 5}), svg('text', {x: Math.min(Math.max(x, 0), W), y: top + H + 18,
			'text-anchor': t === 0 ? 'start' : x > W - 30 ? 'end' : 'middle'}, duration(t)));
	}
	const words = (inTime ? stretches : parts).map((part) => `${part.cause} ${duration(part.ns)}`).join(', ');
	return h('figure', {class: 'ledger'},
		picture({viewBox: `0 0 ${W} ${top + H + 22}`, class: 'bar-of-time'}, `Where ${duration(verdict.total_ns)} went` +
			(inTime ? ', in order of time' : ''), words + '.', paint.defs, names, bar, axis),
		h('figcaption', {}, h('ul', {class: 'legend'}, parts.map((part) => h('li', {title: page.causes[part.cause]},
			causeSwatch(part.cause), ' ' + part.cause + ' ', h('strong', {}, duration(part.ns)), ' ' + percent(part.ns, sum))))));
}
