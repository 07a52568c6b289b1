// The summary: figures, the slow transactions over time, the tables.

function figures(report) {
	const summary = report.summary, parties = summary.slow_by_party;
	const figure = (value, name, note) => h('div', {class: 'figure'},
		h('dt', {}, name), h('dd', {}, h('strong', {}, value), note ? h('span', {class: 'note'}, note) : null));
	const list = h('dl', {class: 'figures'},
		figure(count(summary.connections), 'connections'),
		figure(count(summary.transactions), 'transactions'),
		summary.judged > 0 ? figure(count(summary.slow), 'slow', percent(summary.slow, summary.judged)) : null);
	for (const party of BLAMED) {
		if (parties[party] > 0) {
			const item = figure(count(parties[party]), 'blamed on ', percent(parties[party], summary.slow));
			item.classList.add('party');
			item.firstChild.append(swatch(party), ' ' + partyName(party));
			list.append(item);
		}
	}
	return list;
}

// Bars of the slow ones per bin, stacked by party; choose(from, to) is called with the times of one that is clicked.
function overTime(over, choose) {
	const start = Date.parse(over.start), width = over.width_ns / 1e6;
	const W = roomFor(), H = 170, left = 44, bottom = 24, top = 8;
	const slow = over.bins.map((bin) => bin.slice(1).reduce((sum, n) => sum + n, 0));
	const most = Math.max(1, ...slow);
	const x = (i) => left + i * (W - left) / over.bins.length;
	const y = (n) => top + (1 - n / most) * (H - top - bottom);
	const paint = patterns();
	const bars = svg('g', {});
	over.bins.forEach((bin, i) => {
		let base = 0;
		BLAMED.forEach((party, k) => {
			if (bin[k + 1] > 0) {
				bars.append(svg('rect', {x: x(i) + 0.5, width: Math.max(1, x(i + 1) - x(i) - 1), y: y(base + bin[k + 1]),
					height: y(base) - y(base + bin[k + 1]), fill: paint.of(party), class: 'bar'}));
				base += bin[k + 1];
			}
		});
		if (slow[i] > 0) {
			bars.append(svg('rect', {x: x(i), width: x(i + 1) - x(i), y: top, height: H - top - bottom, class: 'catch',
				onclick: () => choose(start + i * width, start + (i + 1) * width)},
			svg('title', {}, binWords(over, i, slow[i]))));
		}
	});
	const axis = svg('g', {class: 'axis'});
	for (const n of steps(0, most, 5).filter((v) => Number.isInteger(v))) {
		axis.append(svg('line', {x1: left, x2: W, y1: y(n), y2: y(n)}),
			svg('text', {x: left - 6, y: y(n) + 4, 'text-anchor': 'end'}, count(n)));
	}
	const end = start + over.bins.length * width, at = (ms) => left + (ms - start) / (end - start) * (W - left);
	const step = clockStep((end - start) * 110 / (W - left));
	for (let ms = Math.ceil(start / step) * step; ms <= end; ms += step) {
		const label = clock(ms, step), half = label.length * 3.4;
		axis.append(svg('line', {x1: at(ms), x2: at(ms), y1: H - bottom, y2: H - bottom + 5}));
		if (at(ms) - half > 0 && at(ms) + half < W) {
			axis.append(svg('text', {x: at(ms), y: H - 6, 'text-anchor': 'middle'}, label));
		}
	}
	return picture({viewBox: `0 0 ${W} ${H}`, class: 'over-time'}, 'Slow transactions over time',
		`Stacked bars, one for each ${duration(over.width_ns)}, by the party blamed. The table below has the same numbers.`,
		paint.defs, axis, bars);
}

// The least of the steps that people count time in, in ms, that is no less; years are of 365 days.
function clockStep(least) {
	const units = [[1, [1, 2, 5, 10, 20, 50, 100, 200, 500]], [1e3, [1, 2, 5, 10, 15, 30]], [60e3, [1, 2, 5, 10, 15, 30]],
		[3600e3, [1, 2, 3, 6, 12]], [86400e3, [1, 2, 7, 14, 28, 91, 365, 730, 1825, 3650]]];
	return units.flatMap(([unit, counts]) => counts.map((n) => n * unit)).find((step) => step >= least) || 36500 * 86400e3;
}

// The time of day; with the date or it alone when bins are long, with milliseconds when they are short.
function clock(ms, width) {
	const iso = new Date(ms).toISOString();
	return width >= 91 * 86400e3 ? iso.slice(0, 7) : width >= 86400e3 ? iso.slice(0, 10) : width >= 3600e3 ? iso.slice(5, 16).replace('T', ' ') : width >= 1000 ? iso.slice(11, 19) : iso.slice(11, 23);
}

function binWords(over, i, slow) {
	const bin = over.bins[i], ms = Date.parse(over.start) + i * over.width_ns / 1e6;
	const parties = BLAMED.map((party, k) => [party, bin[k + 1]]).filter(([, n]) => n > 0)
		.map(([party, n]) => partyName(party) + ' ' + count(n)).join(', ');
	return `${clock(ms, over.width_ns / 1e6)} UTC: ${count(slow)} slow of ${counted(bin[0], 'transaction')}: ${parties}`;
}

// The parties that are told apart: nobody, too, where that is somebody's verdict.
const blamedIn = (report) => BLAMED.filter((party) => party !== 'none' || report.summary.slow_by_party.none > 0);

// The same as a table, made when it is opened; empty bins are left out.
function overTimeTable(report) {
	const over = report.over_time, parties = blamedIn(report);
	return lazy('The same as a table', () => {
		const body = h('tbody');
		over.bins.forEach((bin, i) => {
			if (bin[0] > 0) {
				body.append(h('tr', {}, h('th', {scope: 'row'}, clock(Date.parse(over.start) + i * over.width_ns / 1e6,
					over.width_ns / 1e6)), bin.slice(0, 1 + parties.length).map((n) => h('td', {class: 'number'}, count(n)))));
			}
		});
		return h('table', {class: 'plain'},
			h('thead', {}, h('tr', {}, ['from (UTC)', 'transactions', ...parties.map(partyName)].map((name, i) =>
				h('th', {scope: 'col', class: i > 0 ? 'number' : null}, name)))), body);
	});
}

// A disclosure whose content is made when it is opened first.
function lazy(title, make) {
	const details = h('details', {}, h('summary', {}, title));
	details.addEventListener('toggle', () => {
		if (details.open && details.childElementCount === 1) {
			details.append(h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': title}, make()));
		}
	});
	return details;
}

// A quantile of a group's histogram, as cu_histogram_quantile: the middle of its bucket (each power of two has 32).
function quantile(group, share) {
	const rank = Math.ceil(share * group.transactions);
	let seen = 0;
	for (const [least, n] of group.histogram) {
		seen += n;
		if (seen >= rank && rank < group.transactions) {
			const width = least < 32 ? 1 : 2 ** (Math.floor(Math.log2(least)) - 5);
			return Math.min(least + Math.floor((width - 1) / 2), group.max_ns);
		}
	}
	return group.max_ns;
}

// Where a group's time went, as a small bar.
function shares(group) {
	const parties = PARTIES.filter((party) => group.by_party_ns[party] > 0);
	const sum = parties.reduce((total, party) => total + group.by_party_ns[party], 0);
	const words = parties.map((party) => `${party} ${percent(group.by_party_ns[party], sum)}`).join(', ');
	const paint = patterns();
	let x = 0;
	return picture({class: 'shares', viewBox: '0 0 100 10', preserveAspectRatio: 'none'}, 'Time by party', words, paint.defs,
		parties.map((party) => {
			const width = 100 * group.by_party_ns[party] / sum;
			x += width;
			return svg('rect', {x: x - width, width, height: 10, fill: paint.of(party)});
		}));
}

function groupTable(groups, title, total, choose) {
	const columns = [title, 'count', 'slow', 'p50', 'p95', 'p99', 'max', 'time'];
	const rows = groups.map((group) => {
		const name = clean(group.name);
		return h('tr', {},
			h('th', {scope: 'row'}, group.slow > 0 && !name.startsWith('(') ?
				h('button', {type: 'button', class: 'link', title: 'Show only these below', onclick: () => choose(name)}, name) :
				name),
			h('td', {class: 'number'}, count(group.transactions)),
			h('td', {class: 'number' + (group.slow > 0 ? ' strong' : '')}, count(group.slow)),
			[group.median_ns, group.p95_ns, quantile(group, 0.99), group.max_ns].map((ns) =>
				h('td', {class: 'number'}, duration(ns))),
			h('td', {}, shares(group)));
	});
	const listed = groups.filter((group) => group.name !== '(others)').length;
	return h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'by ' + title},
		h('table', {class: 'groups'},
			h('caption', {}, 'By ' + title, total > listed ?
				h('span', {class: 'note'}, ` the first ${count(listed)} of ${count(total)}; --all shows every one`) : null),
			h('thead', {}, h('tr', {}, columns.map((name, i) =>
				h('th', {scope: 'col', class: i > 0 && i < 7 ? 'number' : null}, name)))),
			h('tbody', {}, rows)));
}

function legend(report) {
	return h('ul', {class: 'legend'}, blamedIn(report).map((party) => h('li', {}, swatch(party), ' ' + partyName(party))));
}

// show is the table's.
function drawSummary(report, show) {
	const section = document.getElementById('summary');
	section.hidden = false;
	section.append(figures(report));
	if (report.summary.slow > 0) {
		section.append(h('h3', {}, 'Slow transactions over time, by the party blamed'), legend(report),
			overTime(report.over_time, (from, to) => show({time: [from, to]})), overTimeTable(report));
	}
	if (report.summary.transactions > 0) {
		section.append(h('div', {class: 'tables'}, ['service', 'server', 'client', 'cause'].map((by) =>
			groupTable(report.groups[by], by, report.listed[by + 's'], (name) => show({group: [by, name]})))));
	}
}

function drawFindings(report) {
	const section = document.getElementById('findings');
	if (report.findings.length === 0) {
		return;
	}
	section.hidden = false;
	section.append(h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Findings'}, h('table', {class: 'plain'},
		h('thead', {}, h('tr', {}, ['what', 'endpoint', 'blame', 'confidence', 'count', 'frames', 'why'].map((name) =>
			h('th', {scope: 'col'}, name)))),
		h('tbody', {}, report.findings.map((finding) => h('tr', {},
			h('th', {scope: 'row'}, clean(finding.kind)),
			h('td', {}, finding.port ? endpoint(finding.address, finding.port) : finding.address),
			h('td', {}, badge(finding.blame)),
			h('td', {}, finding.confidence),
			h('td', {class: 'number'}, count(finding.count)),
			h('td', {}, finding.first_frame ? findingFrames(finding) : ''),
			h('td', {class: 'words'}, clean(finding.why || ''), finding.advice ? h('div', {class: 'note'}, clean(finding.advice)) : null)))))));
}

function findingFrames(finding) {
	const name = (file, frame) => (file ? clean(file) + ':' : '') + frame;
	const same = finding.last_file === finding.first_file;
	return name(finding.first_file, finding.first_frame) + (finding.last_frame !== finding.first_frame || !same ?
		' to ' + name(same ? null : finding.last_file, finding.last_frame) : '');
}
