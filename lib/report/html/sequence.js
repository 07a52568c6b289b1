// The time-sequence graph of one direction, after tcptrace: its data as bars
// from first to last byte, what the other end acknowledged and how far it let
// the sender go as steps, and what it reported as received beyond that. Above
// it stands the ledger, in the same time.

const GRAPH = {height: 400, left: 84, right: 12, top: 40, bottom: 30, ledger: 12};

class Sequence {
	constructor(verdict, segments, stretches) {
		this.verdict = verdict;
		this.stretches = stretches;
		this.segments = segments;
		this.width = roomFor();
		this.whole = this.range();
		this.view = this.whole;
		const bytes = (direction) => segments.reduce((sum, one) => sum + (one.direction === direction ? one.bytes : 0), 0);
		this.direction = bytes(0) > bytes(1) ? 0 : 1;
		this.window = false;
		this.picked = -1;
		this.build();
		this.choose(this.direction);
	}

	range() {
		const times = this.segments.map((segment) => segment.time);
		const from = times[0], to = Math.max(times[times.length - 1], from + 1000);
		const margin = (to - from) * 0.02;
		return [from - margin, to + margin];
	}

	build() {
		this.drawing = svg('g');
		this.cursor = svg('g');
		this.svg = picture({viewBox: `0 0 ${this.width} ${GRAPH.height}`, class: 'sequence'}, 'Time-sequence graph',
			'Sequence numbers over time. The table below has the same segments.', this.drawing, this.cursor);
		this.tip = h('div', {class: 'tip', hidden: true});
		this.live = h('p', {class: 'offscreen', role: 'status', 'aria-live': 'polite'});
		this.stage = h('div', {class: 'stage', tabindex: 0, role: 'application',
			'aria-label': 'Time-sequence graph: plus and minus zoom, arrows move, comma and full stop go from segment to segment, 0 shows all'},
		this.svg, this.tip);
		const events = {keydown: 'key', wheel: 'wheel', pointerdown: 'down', pointermove: 'move', pointerup: 'up',
			pointercancel: 'up', pointerleave: 'leave', dblclick: 'reset'};
		for (const [name, method] of Object.entries(events)) {
			this.stage.addEventListener(name, (event) => this[method](event), {passive: false});
		}
		const button = (title, label, act) => h('button', {type: 'button', 'aria-label': label, title: label, onclick: act}, title);
		this.choices = ['client → server', 'server → client'].map((title, direction) =>
			h('button', {type: 'button', onclick: () => this.choose(direction)}, title));
		this.windowBox = h('input', {type: 'checkbox', onchange: () => { this.window = this.windowBox.checked; this.draw(); }});
		this.element = h('div', {class: 'graph'},
			h('div', {class: 'pager', role: 'group', 'aria-label': 'Time-sequence graph'}, this.choices,
				button('+', 'Zoom in', () => this.zoom(0.5)), button('−', 'Zoom out', () => this.zoom(2)),
				button('←', 'Earlier', () => this.pan(-0.3)), button('→', 'Later', () => this.pan(0.3)),
				button('All', 'Show all of it', () => this.reset()),
				h('label', {class: 'inline'}, this.windowBox, ' fit the receive window')),
			this.legend(), this.stage,
			h('p', {class: 'note screen-only'}, 'Drag over a stretch of time to zoom in; the wheel zooms once the graph has the focus, or with Ctrl. ' +
				'Point at a segment for its frame.' +
				(this.stretches.length > 0 ? ' The strip above the graph is the ledger.' : '')), this.live);
	}

	legend() {
		const entry = (name, words) => h('li', {}, svg('svg', {class: 'swatch', width: 22, height: 14, 'aria-hidden': 'true'},
			svg('path', {d: name === 'ack' || name === 'window' ? 'M1 11H11V3H21' : 'M11 1V13', class: 'trace ' + name})), ' ' + words);
		const probe = this.segments.some(isProbe) ? h('li', {}, svg('svg', {class: 'swatch', width: 14, height: 14, 'aria-hidden': 'true'},
			svg('circle', {cx: 7, cy: 7, r: 3.5, class: 'probe-dot'})), ' keep-alive or probe') : null;
		const closed = this.segments.some((one) => one.has(MARK.zeroWindow)) ? h('li', {}, svg('svg', {class: 'swatch', width: 14, height: 14,
			'aria-hidden': 'true'}, svg('path', {d: 'M2 2h10v10h-10z', class: 'closed'})), ' zero window') : null;
		return h('ul', {class: 'legend'}, entry('sent', 'data'), entry('again', 'sent again'), entry('ack', 'acknowledged'),
			entry('window', 'end of the receive window'), entry('sack', 'SACK: received beyond that'), probe, closed);
	}

	choose(direction) {
		this.direction = direction;
		this.choices.forEach((button, i) => button.setAttribute('aria-pressed', String(i === direction)));
		// Data and probes of this direction, and what the other says of it.
		this.data = this.segments.filter((one) => one.direction === direction && !one.icmp && (one.end > one.seq || isProbe(one)));
		this.acks = this.segments.filter((one) => one.direction !== direction && !one.icmp && one.ack >= 0);
		const drawn = new Set([...this.data, ...this.acks]);
		this.points = this.segments.filter((one) => drawn.has(one));
		this.picked = -1;
		this.draw();
	}

	// The numbers to be seen in the view: those of data and ACKs, and of the window if wanted.
	fit() {
		let low = Infinity, high = -Infinity;
		const take = (v) => { low = Math.min(low, v); high = Math.max(high, v); };
		const inside = (one) => one.time >= this.view[0] && one.time <= this.view[1];
		this.data.filter(inside).forEach((one) => { take(one.seq); take(one.end); });
		this.acks.filter(inside).forEach((one) => {
			take(one.ack);
			one.sack.forEach(take);
			if (this.window) {
				take(one.ack + one.window);
			}
		});
		if (low > high) {
			const before = this.acks.filter((one) => one.time < this.view[0]).pop();
			low = high = before ? before.ack : 0;
		}
		const margin = Math.max((high - low) * 0.06, 1);
		return [low - margin, high + margin];
	}

	draw() {
		const {height, left, right, top, bottom} = GRAPH, width = this.width;
		const [t0, t1] = this.view, [s0, s1] = this.fit();
		this.x = (t) => left + (t - t0) / (t1 - t0) * (width - left - right);
		this.y = (s) => top + (1 - (s - s0) / (s1 - s0)) * (height - top - bottom);
		this.t = (x) => t0 + (x - left) / (width - left - right) * (t1 - t0);
		const clip = 'clip' + ++nPictures;
		const bars = (list) => list.map((one) => this.bar(one.time, one.seq, one.end)).join('');
		const seen = (one) => one.time >= t0 && one.time <= t1;
		const data = this.data.filter(seen);
		const path = (name, d) => svg('path', {d, class: 'trace ' + name});
		const sacks = this.acks.filter(seen).map((one) => one.sack.map((v, i) => i % 2 === 0 ?
			this.bar(one.time, v, one.sack[i + 1]) : '').join('')).join('');
		this.drawing.replaceChildren(
			svg('defs', {}, svg('clipPath', {id: clip}, svg('rect', {x: left, y: top, width: width - left - right, height: height - top - bottom}))),
			this.axes([s0, s1]), this.ledger(),
			svg('g', {'clip-path': `url(#${clip})`},
				path('window', this.stairs((one) => one.ack + one.window)), path('ack', this.stairs((one) => one.ack)),
				path('sack', sacks), path('sent', bars(data.filter((one) => !one.resent && !isProbe(one)))),
				path('again', bars(data.filter((one) => one.resent))), this.dots(data), this.closed(seen)));
		this.drawCursor();
	}

	// Where the time went, as a strip along the top.
	ledger() {
		const paint = patterns(), strip = svg('g', {}, paint.defs);
		const [t0, t1] = this.view, y = GRAPH.top - GRAPH.ledger - 3;
		for (const one of this.stretches) {
			const x = this.x(Math.max(one.from, t0)), end = this.x(Math.min(one.from + one.ns, t1));
			if (end > x) {
				strip.append(svg('g', {}, svg('title', {}, stretchWords(one)),
					shaded({x, y, width: Math.max(1, end - x), height: GRAPH.ledger}, one.cause, paint)));
			}
		}
		return strip;
	}

	bar(time, from, to) {
		const x = this.x(time).toFixed(1), a = this.y(from), b = Math.min(this.y(to), a - 2);
		return `M${x} ${a.toFixed(1)}V${b.toFixed(1)}` + (a - b > 9 ? `m-2.5 0h5M${x - 2.5} ${a.toFixed(1)}h5` : '');
	}

	// Steps, from the last one before the view to the first behind it.
	stairs(value) {
		const next = this.acks.findIndex((one) => one.time > this.view[0]);
		let path = '';
		for (const one of this.acks.slice(Math.max(0, (next < 0 ? this.acks.length : next) - 1))) {
			const x = this.x(one.time).toFixed(1), y = this.y(value(one)).toFixed(1);
			path += path === '' ? `M${x} ${y}` : `H${x}V${y}`;
			if (one.time > this.view[1]) {
				return path;
			}
		}
		return path === '' ? '' : path + `H${this.width - GRAPH.right}`;
	}

	// What was sent again, and probes, are easily missed among all the rest.
	dots(data) {
		return data.filter((one) => one.resent || isProbe(one)).map((one) => svg('circle', {cx: this.x(one.time),
			cy: this.y((one.seq + one.end) / 2), r: 3.5, class: one.resent ? 'again-dot' : 'probe-dot'}));
	}

	// Where the window was closed, a mark on the ACK line.
	closed(seen) {
		return this.acks.filter((one) => seen(one) && one.has(MARK.zeroWindow)).map((one) =>
			svg('path', {d: `M${this.x(one.time) - 5} ${this.y(one.ack) - 5}h10v10h-10z`, class: 'closed'}, svg('title', {}, 'zero window')));
	}

	axes([s0, s1]) {
		const {height, left, right, top, bottom} = GRAPH, width = this.width;
		const axis = svg('g', {class: 'axis'});
		for (const s of steps(s0, s1, 5).filter((v) => Number.isInteger(v) && v >= 0)) {
			axis.append(svg('line', {x1: left, x2: width - right, y1: this.y(s), y2: this.y(s)}),
				svg('text', {x: left - 6, y: this.y(s) + 4, 'text-anchor': 'end'}, count(s)));
		}
		const [t0, t1] = this.view;
		for (const t of steps(t0, t1, width / 130)) {
			const x = this.x(t);
			axis.append(svg('line', {x1: x, x2: x, y1: top, y2: height - bottom}),
				svg('text', {x: Math.min(x, width - 26), y: height - bottom + 16, 'text-anchor': 'middle'}, tick(t, (t1 - t0) * 130 / width)));
		}
		axis.append(svg('text', {x: left, y: top - 26}, 'sequence number of the ' + (this.direction === 0 ? 'client' : 'server')));
		return axis;
	}

	drawCursor() {
		const one = this.points[this.picked];
		this.cursor.replaceChildren();
		this.tip.hidden = true;
		if (!one || one.time < this.view[0] || one.time > this.view[1]) {
			return;
		}
		const x = this.x(one.time), y = this.y(this.level(one));
		this.cursor.append(svg('line', {x1: x, x2: x, y1: GRAPH.top, y2: GRAPH.height - GRAPH.bottom, class: 'cursor'}),
			svg('circle', {cx: x, cy: y, r: 5, class: 'cursor'}));
		this.tip.replaceChildren(h('strong', {}, frameName(one)), ' at ', duration(one.time), ' from the ' +
			(one.direction === 0 ? 'client' : 'server'), h('br'), `${one.flagNames} ${segmentWords(one)} win ${one.window}`,
		one.notes.length > 0 ? h('div', {class: 'tip-notes'}, one.notes.join(', ')) : '');
		this.tip.hidden = false;
		const share = x / this.width;
		this.tip.style.left = share < 0.6 ? 100 * share + '%' : 'auto';
		this.tip.style.right = share < 0.6 ? 'auto' : 100 * (1 - share) + '%';
	}

	// The height of a segment in the graph.
	level(one) {
		return one.direction === this.direction ? one.end : one.ack;
	}

	place(event) {
		const box = this.svg.getBoundingClientRect();
		return [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * GRAPH.height / box.height];
	}

	nearest(x, y) {
		let best = -1, least = 40 * 40;
		this.points.forEach((one, i) => {
			const dx = this.x(one.time) - x, dy = (this.y(this.level(one)) - y) / 3;
			if (dx * dx + dy * dy < least) {
				least = dx * dx + dy * dy;
				best = i;
			}
		});
		return best;
	}

	down(event) {
		if (event.button === 0) {
			this.dragged = [this.place(event)[0], null];
			this.stage.setPointerCapture(event.pointerId);
		}
	}

	move(event) {
		const [x, y] = this.place(event);
		if (this.dragged) {
			this.dragged[1] = x;
			const from = Math.min(this.dragged[0], x), to = Math.max(this.dragged[0], x);
			this.cursor.replaceChildren(svg('rect', {x: from, width: to - from, y: GRAPH.top,
				height: GRAPH.height - GRAPH.top - GRAPH.bottom, class: 'drag'}));
			return;
		}
		this.picked = this.nearest(x, y);
		this.drawCursor();
	}

	up() {
		const drag = this.dragged;
		this.dragged = null;
		if (drag && drag[1] !== null && Math.abs(drag[1] - drag[0]) > 5) {
			this.look(this.t(Math.min(...drag)), this.t(Math.max(...drag)));
		} else if (drag) {
			this.drawCursor();
		}
	}

	leave() {
		if (!this.dragged) {
			this.picked = -1;
			this.drawCursor();
		}
	}

	wheel(event) {
		if (event.ctrlKey || document.activeElement === this.stage) {
			event.preventDefault();
			this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.t(this.place(event)[0]));
		}
	}

	reset() {
		this.look(...this.whole);
	}

	zoom(factor, at = (this.view[0] + this.view[1]) / 2) {
		this.look(at - (at - this.view[0]) * factor, at + (this.view[1] - at) * factor);
	}

	pan(share) {
		const by = (this.view[1] - this.view[0]) * share;
		this.look(this.view[0] + by, this.view[1] + by);
	}

	// Nothing is seen outside of what there is, nor closer than 100 ns.
	look(from, to) {
		const [least, most] = this.whole;
		const width = Math.min(most - least, Math.max(100, to - from));
		from = Math.min(Math.max(from, least), most - width);
		this.view = [from, from + width];
		this.draw();
	}

	key(event) {
		const act = {'+': () => this.zoom(0.5), '=': () => this.zoom(0.5), '-': () => this.zoom(2), '0': () => this.reset(),
			'ArrowLeft': () => this.pan(-0.2), 'ArrowRight': () => this.pan(0.2), ',': () => this.step(-1), '.': () => this.step(1)}[event.key];
		if (act && !event.ctrlKey && !event.metaKey && !event.altKey) {
			event.preventDefault();
			act();
		}
	}

	// To the segment before or after, which is said aloud.
	step(by) {
		const n = this.points.length;
		if (n === 0) {
			return;
		}
		this.picked = this.picked < 0 ? this.points.findIndex((one) => one.time >= this.view[0]) : this.picked + by;
		this.picked = Math.min(n - 1, Math.max(0, this.picked));
		const one = this.points[this.picked], [t0, t1] = this.view;
		if (one.time < t0 || one.time > t1) {
			this.pan((one.time - (t0 + t1) / 2) / (t1 - t0));
		}
		this.drawCursor();
		this.live.textContent = this.tip.textContent;
	}
}

// A time on the axis, with as many digits as steps of that width need.
function tick(t, width) {
	const [unit, name] = width < 1e3 ? [1e3, 'us'] : width < 1e6 ? [1e6, 'ms'] : [1e9, 's'];
	const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(width / unit))));
	return (t / unit).toFixed(digits) + '\u00a0' + name;
}

function drawSequence(verdict, segments, stretches) {
	return new Sequence(verdict, segments, stretches).element;
}
