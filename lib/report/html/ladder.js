// The ladder diagram: client, vantage point and server as lines along which
// time runs down, and each segment an arrow from one end to the other.
//
// The capture has a segment's time at the vantage point. When it left and when
// it arrived follow from the distances that the verdict was reached with. Time
// runs evenly, but for three things: rows are far enough apart to be read,
// long silence is cut short by a break that says how long it was, and so are
// segments that the page leaves out.

const LADDER = {client: 176, top: 46, row: 17, apart: 4, path: 60, silent: 90, broken: 34, rows: 100, letter: 6.3};

// How wide it is: where the server's line stands, and how many letters there is room for beside it.
function ladderShape() {
	const width = Math.max(760, roomFor());
	const server = LADDER.client + Math.min(460, Math.max(290, Math.round((width - LADDER.client) * 0.45)));
	return {width, server, letters: Math.floor((width - server - 28) / LADDER.letter)};
}

// Points in time with their heights: of each segment when it leaves, passes and arrives. Zoomed in, time is longer.
function layLadder(items, verdict, zoom) {
	const c = verdict.client_distance_ns || 0, s = verdict.server_distance_ns || 0;
	const rows = [], points = [], breaks = [];
	let leftOut = 0;
	for (const item of items) {
		if (item.leftOut !== undefined) {
			leftOut += item.leftOut;
			continue;
		}
		const from = item.direction === 0 ? c : s, to = item.direction === 0 ? s : c;
		const ends = item.direction === 0 ? ['client', 'server'] : ['server', 'client'];
		const row = {segment: item, leave: {t: item.time - from, at: ends[0]}, pass: {t: item.time, at: 'vantage', leftOut},
			arrive: {t: item.time + to, at: ends[1]}};
		rows.push(row);
		points.push(row.leave, row.pass, row.arrive);
		leftOut = 0;
	}
	const order = new Map(points.map((point, i) => [point, i]));
	points.sort((a, b) => a.t - b.t || order.get(a) - order.get(b));
	const scale = zoom * LADDER.path / (c + s || usualGap(points)), silent = LADDER.silent * Math.max(1, zoom);
	const last = {client: -Infinity, server: -Infinity, vantage: -Infinity};
	let y = LADDER.top, before = points[0].t;
	for (const point of points) {
		const gap = point.t - before;
		if (point.leftOut > 0) {
			breaks.push({y: y + LADDER.broken / 2, words: `${counted(point.leftOut, 'segment')} left out, ${duration(gap)}`});
			y += LADDER.broken;
		} else if (gap * scale > silent) {
			breaks.push({y: y + LADDER.broken / 2, words: `${duration(gap)} of silence`, silence: gap, from: before, to: point.t});
			y += LADDER.broken;
		} else {
			y += gap * scale;
		}
		y = Math.max(y, last[point.at] + (point.at === 'vantage' ? LADDER.row : LADDER.apart));
		last[point.at] = point.y = y;
		before = point.t;
	}
	return {rows, breaks, height: y + 24};
}

// Where no distance is known: the gap that half of all are below.
function usualGap(points) {
	const gaps = points.slice(1).map((point, i) => point.t - points[i].t).filter((gap) => gap > 0).sort((a, b) => a - b);
	return gaps.length > 0 ? gaps[gaps.length >> 1] * 3 : 1;
}

// Where the capture was taken, between the ends in proportion to the distances; far enough from both to be seen.
function vantageX(verdict, shape) {
	const c = verdict.client_distance_ns || 0, s = verdict.server_distance_ns || 0;
	const share = c + s > 0 ? c / (c + s) : {client: 0, server: 1}[verdict.vantage] === undefined ? 0.5 :
		{client: 0, server: 1}[verdict.vantage];
	return LADDER.client + (shape.server - LADDER.client) * Math.min(0.93, Math.max(0.07, share));
}

function arrowHead(x1, y1, x2, y2) {
	const angle = Math.atan2(y2 - y1, x2 - x1);
	const corner = (turn) => `${x2 - 8 * Math.cos(angle + turn)} ${y2 - 8 * Math.sin(angle + turn)}`;
	return svg('path', {d: `M${x2} ${y2}L${corner(0.4)}L${corner(-0.4)}Z`, class: 'head'});
}

// How a segment is drawn: names of classes, and a letter where it is seen.
function arrowKind(segment) {
	if (segment.resent) {
		return ['resent', 'R'];
	}
	if (segment.has(MARK.keepAlive) || segment.has(MARK.keepAliveAck) || segment.has(MARK.zeroWindowProbe) ||
		segment.has(MARK.zeroWindowProbeAck)) {
		return ['probe', segment.has(MARK.keepAlive) || segment.has(MARK.keepAliveAck) ? 'K' : 'P'];
	}
	if (segment.icmp || segment.flags & RST) {
		return ['reset', '!'];
	}
	if (segment.has(MARK.outOfOrder)) {
		return ['disordered', 'O'];
	}
	return [segment.bytes > 0 || segment.flags & (SYN | FIN) ? 'data' : 'ack', ''];
}

function shorten(text, cap) {
	return text.length > cap ? text.slice(0, cap - 1) + '…' : text;
}

function drawArrow(row, vantage, total, shape) {
	const {segment, leave, pass, arrive} = row;
	const [kind, letter] = arrowKind(segment);
	const x = [LADDER.client, shape.server], from = x[segment.direction], to = x[1 - segment.direction];
	const side = segment.direction === 0 ? 'client' : 'server';
	const way = segment.lost ? 0.6 : 1; // beyond the vantage point
	const end = {x: vantage + (to - vantage) * way, y: pass.y + (arrive.y - pass.y) * way};
	const plain = `${segment.flagNames} ${segmentWords(segment)}`, notes = segment.notes.join(', ');
	const group = svg('g', {class: `arrow ${kind} from-${side}` + (segment.time < 0 || segment.time > total ? ' outside' : '') +
		(segment.lost ? ' lost' : ''),
		'data-frame': segment.frame},
	svg('title', {}, `${frameName(segment)}, ${duration(segment.time)}, from the ${side}: ${plain}` + (notes ? ' · ' + notes : '')),
	svg('rect', {x: 0, y: pass.y - LADDER.row / 2, width: shape.width, height: LADDER.row, class: 'over'}),
	svg('polyline', {points: `${from},${leave.y} ${vantage},${pass.y} ${end.x},${end.y}`, class: 'line'}),
	segment.lost ? svg('path', {d: `M${end.x - 5} ${end.y - 5}l10 10m0 -10l-10 10`, class: 'missing'}) :
		arrowHead(vantage, pass.y, to, arrive.y),
	svg('circle', {cx: vantage, cy: pass.y, r: 2.2, class: 'seen'}),
	svg('text', {x: 72, y: pass.y + 4, 'text-anchor': 'end', class: 'when'}, duration(segment.time)),
	svg('text', {x: 84, y: pass.y + 4, class: 'frame'}, '#' + segment.frame),
	svg('text', {x: shape.server + 28, y: pass.y + 4, class: 'words'}, plain,
		notes ? svg('tspan', {class: 'notes'}, ' · ' + shorten(notes, Math.max(8, shape.letters - plain.length - 3))) : null));
	if (letter !== '') {
		group.append(svg('circle', {cx: vantage, cy: pass.y, r: 7.5, class: 'letter'}),
			svg('text', {x: vantage, y: pass.y + 3.5, 'text-anchor': 'middle', class: 'letter'}, letter));
	}
	if (segment.has(MARK.zeroWindow)) {
		group.append(svg('path', {d: `M${from - 6} ${leave.y - 6}h12v12h-12z`, class: 'closed'}));
	}
	if (segment.has(MARK.lost)) { // the one before it is missing: a gap on the vantage point's line
		group.append(svg('path', {d: `M${vantage - 7} ${pass.y - 13}l14 8m0 -8l-14 8`, class: 'missing'}));
	}
	return group;
}

function drawBreak(mark, shape) {
	const lines = [LADDER.client, shape.server];
	return svg('g', {class: 'break'},
		svg('rect', {x: LADDER.client - 12, width: shape.server - LADDER.client + 24, y: mark.y - 11, height: 22}),
		lines.map((x) => svg('path', {d: `M${x - 9} ${mark.y - 7}l18 -5M${x - 9} ${mark.y + 12}l18 -5`})),
		svg('text', {x: (LADDER.client + shape.server) / 2, y: mark.y + 4, 'text-anchor': 'middle'}, mark.words));
}

// Where the blamed cause's longest stretch lies, at the one to blame.
function drawStretch(verdict, rows, shape) {
	const frames = (verdict.ledger_frames || {})[verdict.cause];
	const files = (verdict.ledger_files || {})[verdict.cause];
	if (!verdict.slow || frames === undefined || files !== undefined) {
		return null;
	}
	const at = (frame) => rows.find((row) => row.segment.frame === frame);
	const first = at(frames[0]), last = at(frames[1]);
	if (!first || !last || last.pass.y <= first.pass.y) {
		return null;
	}
	const party = verdict.cause.split('.')[0];
	const [x, width] = {client: [LADDER.client - 5, 10], server: [shape.server - 5, 10]}[party] ||
		[LADDER.client, shape.server - LADDER.client];
	return svg('rect', {x, width, y: first.pass.y, height: last.pass.y - first.pass.y, class: 'stretch fill-' + party},
		svg('title', {}, `the longest stretch of ${verdict.cause}, from frame ${frames[0]} to ${frames[1]}`));
}

function ladderPicture(verdict, items, zoom) {
	const {rows, breaks, height} = layLadder(items, verdict, zoom);
	const shape = ladderShape(), vantage = vantageX(verdict, shape), top = LADDER.top - 14;
	const line = (x, name, sub) => [svg('line', {x1: x, x2: x, y1: top, y2: height - 8, class: 'lane'}),
		svg('text', {x, y: 14, 'text-anchor': 'middle', class: 'lane'}, name),
		sub ? svg('text', {x, y: 27, 'text-anchor': 'middle', class: 'sub'}, sub) : null];
	const nearClient = vantage < LADDER.client + 60, nearServer = vantage > shape.server - 60;
	const first = rows[0].segment.frame, last = rows[rows.length - 1].segment.frame;
	return picture({viewBox: `0 0 ${shape.width} ${height}`, class: 'ladder'}, 'Ladder diagram',
		`Time runs down; ${counted(rows.length, 'segment')} from frame ${first} to ${last} as arrows between client and server. ` +
		'The table below has the same segments.',
		drawStretch(verdict, rows, shape), line(LADDER.client, 'client', clean(verdict.client || '')),
		line(shape.server, 'server', clean(verdict.server || '')),
		svg('line', {x1: vantage, x2: vantage, y1: top, y2: height - 8, class: 'lane vantage'}),
		svg('text', {x: vantage + (nearClient ? 22 : nearServer ? -22 : 0), y: top + 7,
			'text-anchor': nearClient ? 'start' : nearServer ? 'end' : 'middle', class: 'sub'}, 'captured here'),
		svg('text', {x: 72, y: 14, 'text-anchor': 'end', class: 'sub'}, 'time'), svg('text', {x: 84, y: 14, class: 'sub'}, 'frame'),
		breaks.map((mark) => drawBreak(mark, shape)), rows.map((row) => drawArrow(row, vantage, verdict.total_ns, shape)));
}

function ladderLegend(items) {
	const segments = items.filter((item) => item.leftOut === undefined);
	const any = (test) => segments.some(test);
	const names = [['R', 'retransmission', (s) => s.resent], ['K', 'keep-alive and its ACK', (s) => s.has(MARK.keepAlive)],
		['P', 'zero window probe', (s) => s.has(MARK.zeroWindowProbe)], ['O', 'out of order', (s) => s.has(MARK.outOfOrder)],
		['!', 'reset or ICMP error', (s) => s.icmp || s.flags & RST], ['□', 'its window is closed', (s) => s.has(MARK.zeroWindow)],
		['×', 'on the line of the capture: before it, something was not captured', (s) => s.has(MARK.lost)],
		['×', 'at the end of an arrow: sent again, so it seems not to have arrived', (s) => s.lost]];
	const list = names.filter(([, , test]) => any(test)).map(([letter, name]) => h('li', {}, h('b', {class: 'sign'}, letter), ' ' + name));
	return list.length > 0 ? h('ul', {class: 'legend'}, list) : null;
}

// A window of rows at a time, so that a long transfer costs no more than a short one.
function drawLadder(verdict, items) {
	const holder = h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Ladder diagram'});
	const where = h('span');
	const parts = [];
	for (let from = 0; from < items.length; from += LADDER.rows) {
		parts.push(items.slice(from, from + LADDER.rows));
	}
	let at = 0, zoom = 1;
	const show = (part, closer = zoom) => {
		at = Math.min(parts.length - 1, Math.max(0, part));
		zoom = closer;
		const segments = parts[at].filter((item) => item.leftOut === undefined);
		holder.replaceChildren(segments.length > 0 ? ladderPicture(verdict, parts[at], zoom) : '');
		where.textContent = (parts.length > 1 ? `part ${at + 1} of ${parts.length}` + (segments.length > 0 ?
			`: frames ${segments[0].frame} to ${segments[segments.length - 1].frame}` : '') : '') +
			(zoom === 1 ? '' : `${parts.length > 1 ? ', ' : ''}time × ${zoom}`);
		buttons.forEach(([button, enabled]) => { button.disabled = !enabled(); });
	};
	const button = (title, act, enabled, label) => [h('button', {type: 'button', onclick: act, 'aria-label': label, title: label}, title), enabled];
	const frames = (verdict.ledger_frames || {})[verdict.cause] || [];
	const stretch = parts.findIndex((part) => part.some((item) => item.frame === frames[0]));
	const buttons = [
		button('+', () => show(at, zoom * 2), () => zoom < 256, 'Zoom in: more room for the same time'),
		button('−', () => show(at, zoom / 2), () => zoom > 1 / 16, 'Zoom out: less room for the same time'),
	];
	if (parts.length > 1) {
		buttons.push(button('Earlier', () => show(at - 1), () => at > 0), button('Later', () => show(at + 1), () => at < parts.length - 1),
			button('Longest stretch', () => show(stretch), () => stretch >= 0 && at !== stretch));
	}
	show(0);
	return [ladderLegend(items), h('div', {class: 'pager', role: 'group', 'aria-label': 'Parts of the ladder'},
		buttons.map(([one]) => one), where), holder];
}
