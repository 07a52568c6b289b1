// The ledger: where a transaction's time went, as one bar.

// The causes, those of a party together.
function ledgerParts(ledger) {
	return Object.entries(ledger).map(([cause, ns]) => ({cause, ns, party: cause.split('.')[0]}))
		.sort((a, b) => PARTIES.indexOf(a.party) - PARTIES.indexOf(b.party) || b.ns - a.ns);
}

function drawLedger(verdict, page) {
	const parts = ledgerParts(verdict.ledger);
	const sum = parts.reduce((total, part) => total + part.ns, 0) || 1;
	const W = roomFor(), H = 30, paint = patterns();
	const bar = svg('g', {});
	let before = 0;
	for (const part of parts) {
		const x = W * before / sum, width = Math.max(1.5, W * part.ns / sum);
		const words = `${part.cause} ${duration(part.ns)}, ${percent(part.ns, sum)}`;
		bar.append(svg('rect', {x: Math.min(x, W - 1.5), width, height: H, fill: paint.of(part.party), class: 'bar'},
			svg('title', {}, words)));
		if (before > 0) {
			bar.append(svg('line', {x1: x, x2: x, y1: 0, y2: H, class: 'divide'}));
		}
		before += part.ns;
	}
	const axis = svg('g', {class: 'axis'});
	for (const t of steps(0, sum, W < 600 ? 3 : 6)) {
		const x = W * t / sum;
		axis.append(svg('line', {x1: x, x2: x, y1: H, y2: H + 5}), svg('text', {x: Math.min(Math.max(x, 0), W), y: H + 18,
			'text-anchor': t === 0 ? 'start' : x > W - 30 ? 'end' : 'middle'}, duration(t)));
	}
	const words = parts.map((part) => `${part.cause} ${duration(part.ns)}`).join(', ');
	return h('figure', {class: 'ledger'},
		picture({viewBox: `0 0 ${W} ${H + 22}`, class: 'bar-of-time'}, `Where ${duration(verdict.total_ns)} went`, words + '.', paint.defs, bar, axis),
		h('figcaption', {}, h('ul', {class: 'legend'}, parts.map((part) => h('li', {title: page.causes[part.cause]},
			swatch(part.party), ' ' + part.cause + ' ', h('strong', {}, duration(part.ns)), ' ' + percent(part.ns, sum))))));
}
