// What is shown of a transaction when its row is opened.

function drawDetail(verdict, detail, page, row, close) {
	const live = h('p', {class: 'offscreen', role: 'status', 'aria-live': 'polite'});
	const items = readSegments(detail, page);
	const id = 'detail' + row.index;
	return h('article', {class: 'card', 'aria-labelledby': id},
		h('button', {type: 'button', class: 'close', 'aria-label': 'Close the detail', onclick: close}, '×'),
		h('h3', {id}, row.judged ? badge(row.blame) : null, ' ', h('strong', {}, duration(verdict.total_ns)), ' ', row.what),
		sentences(verdict, page, row),
		drawLedger(verdict, detail, page),
		evidence(detail),
		filters(detail, live),
		diagrams(verdict, detail, items, page),
		live);
}

// Why, what to do, what is unsure; then who, when and from where.
function sentences(verdict, page, row) {
	const facts = [verdict.kind === row.what ? null : verdict.kind, row.client + ' → ' + row.server];
	const named = [row.service, verdict.server_name ? clean(verdict.server_name) : ''].filter((name) => name !== '');
	if (named.length > 0) {
		facts.push(named.join(', '));
	}
	facts.push(`stream ${verdict.stream} transaction ${verdict.transaction}`, instant(verdict.start, 6) + ' UTC');
	if (row.judged) {
		facts.push(`slow over ${duration(verdict.slow_over_ns)}`, `${verdict.confidence} confidence`);
	}
	facts.push(verdict.rtt_ns ? `round trip ${duration(verdict.rtt_ns)}` : null,
		page.vantages[verdict.vantage] || null, row.file || null,
		verdict.rule ? 'rule ' + clean(verdict.rule) : null);
	const doubts = (verdict.doubts || []).map((name) => page.doubts[name]);
	return [
		h('p', {class: 'why'}, row.judged ? clean(verdict.why || page.causes[verdict.cause]) : null),
		doubts.length > 0 ? h('p', {class: 'doubts'}, h('strong', {}, 'Unsure: '), doubts.join('; ')) : null,
		verdict.advice ? h('p', {class: 'advice'}, h('strong', {}, 'Advice: '), clean(verdict.advice)) : null,
		h('p', {class: 'facts'}, facts.filter((fact) => fact !== null).map((fact) => h('span', {}, fact))),
	];
}

function evidence(detail) {
	const list = h('dl', {class: 'evidence'});
	for (const [label, words] of detail.evidence) {
		list.append(...(label ? [h('dt', {}, label)] : []), h('dd', {}, clean(words)));
	}
	return detail.evidence.length > 0 ? [h('h4', {}, 'Evidence'), list] : null;
}

function filters(detail, live) {
	return [h('h4', {}, 'Wireshark display filter'), detail.filters.map(([file, filter]) => {
		const button = h('button', {type: 'button', class: 'copy', onclick: () => copy(filter, button, live)}, 'Copy');
		return h('div', {class: 'filter'}, file ? h('span', {class: 'note'}, clean(file)) : null, h('code', {tabindex: 0}, filter), button);
	})];
}

function diagrams(verdict, detail, items, page) {
	const segments = items.filter((item) => item.leftOut === undefined);
	const leftOut = items.reduce((sum, item) => sum + (item.leftOut || 0), 0);
	if (detail.segments === undefined) {
		return h('p', {class: 'notice'}, 'No diagrams: the stream does not hold the segments of this connection. ' +
			'They are there unless analyze was run with --no-segments.');
	}
	if (segments.length === 0) {
		return h('p', {class: 'notice'}, 'No diagrams: no segment of the connection is in the time of this transaction.');
	}
	const note = leftOut === 0 ? null : h('p', {class: 'notice'},
		`${counted(leftOut, 'segment')} of ${count(leftOut + segments.length)} are left out of this page; those cited or marked ` +
		`were kept first. All of them: culprit report --segments --stream ${verdict.stream}`);
	return [
		h('h4', {}, 'Ladder'), note, drawLadder(verdict, items),
		h('h4', {}, 'Time and sequence'), drawSequence(verdict, segments, stretchesOf(detail)),
		lazy(`The ${counted(segments.length, 'segment')} as a table`, () => segmentTable(items)),
	];
}

function segmentTable(items) {
	const columns = ['frame', 'time', 'from', 'seq', 'ack', 'bytes', 'flags', 'window', 'notes'];
	const number = [true, true, false, true, true, true, false, true, false];
	return h('table', {class: 'plain segments'},
		h('thead', {}, h('tr', {}, columns.map((name, i) => h('th', {scope: 'col', class: number[i] ? 'number' : null}, name)))),
		h('tbody', {}, items.map((item) => item.leftOut !== undefined ?
			h('tr', {}, h('td', {colspan: columns.length, class: 'note'}, `${counted(item.leftOut, 'segment')} left out`)) :
			h('tr', {}, [(item.file ? item.file + ':' : '') + item.frame, duration(item.time), item.direction === 0 ? 'client' : 'server',
				item.seq, item.ack < 0 ? '' : item.ack, item.bytes, item.flagNames, item.icmp ? '' : item.window,
				item.notes.join(', ')].map((value, i) => h('td', {class: number[i] ? 'number' : null}, String(value)))))));
}
