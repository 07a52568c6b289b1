// The table of transactions: filtered, sorted, a page of rows at a time, so
// that ten thousand cost no more than a hundred. A row's button opens its
// detail below it, which is made then.

const PAGE_ROWS = 100;
const CONFIDENCE = ['none', 'low', 'medium', 'high'];

const COLUMNS = [
	{key: 'start', title: 'started (UTC)', compare: (a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0)},
	{key: 'total', title: 'took', number: true, compare: (a, b) => a.total - b.total, first: -1},
	{key: 'blame', title: 'blame'},
	{key: 'cause', title: 'cause'},
	{key: 'confidence', title: 'confidence', first: -1,
		compare: (a, b) => CONFIDENCE.indexOf(a.confidence) - CONFIDENCE.indexOf(b.confidence)},
	{key: 'what', title: 'what'},
	{key: 'server', title: 'server'},
	{key: 'client', title: 'client'},
];

// Puts the row into the address, so that it can be passed on.
function remember(key) {
	try {
		history.replaceState(null, '', '#' + key);
	} catch (error) { // a frame or a viewer that does not let a page do so
		return;
	}
}

class Table {
	constructor(report) {
		this.report = report;
		this.rows = report.rows;
		this.sort = {column: COLUMNS[1], direction: -1};
		this.page = 0;
		this.open = null; // {row, button, element}
		this.time = null; // [from, to) in ms: only those that start then
		this.group = null; // [by, name]: only those of a row of the summary's tables
		this.build();
		this.apply();
	}

	build() {
		const section = document.getElementById('transactions');
		section.hidden = false;
		this.live = h('p', {class: 'live', role: 'status', 'aria-live': 'polite'});
		this.head = h('tr');
		this.body = h('tbody');
		this.pager = h('nav', {class: 'pager', 'aria-label': 'Pages of the table'});
		for (const column of COLUMNS) {
			column.button = h('button', {type: 'button', class: 'sort', onclick: () => this.sortBy(column)}, column.title);
			column.cell = h('th', {scope: 'col', class: column.number ? 'number' : null}, column.button);
			this.head.append(column.cell);
		}
		this.body.addEventListener('keydown', (event) => this.key(event));
		section.append(this.controls(), this.live, h('div', {class: 'scroll wide'},
			h('table', {class: 'transactions', id: 'table'},
				h('caption', {class: 'offscreen'}, 'Transactions; the button in each row opens its detail'),
				h('thead', {}, this.head), this.body)), this.pager);
	}

	controls() {
		const choice = (id, title, values) => {
			const select = h('select', {id, onchange: () => this.filtered()}, h('option', {value: ''}, 'any'),
				values.map((value) => h('option', {value}, id === 'party' ? partyName(value) : value)));
			this[id] = select;
			return h('label', {}, title, select);
		};
		const present = (key, order) => {
			const values = new Set(this.rows.map((row) => row[key]));
			return order ? order.filter((value) => values.has(value)) : [...values].sort();
		};
		this.search = h('input', {type: 'search', id: 'search', autocomplete: 'off', spellcheck: 'false',
			placeholder: 'address, port, name, service, rule', oninput: () => this.filtered()});
		const chip = (set) => h('button', {type: 'button', class: 'chip', hidden: true, onclick: () => { set(); this.filtered(); }});
		this.timeChip = chip(() => { this.time = null; });
		this.groupChip = chip(() => { this.group = null; });
		return h('form', {class: 'controls', role: 'search', onsubmit: (event) => event.preventDefault()},
			h('label', {class: 'grow'}, 'contains', this.search),
			choice('party', 'blame', present('blame', BLAMED)),
			choice('cause', 'cause', present('cause')),
			choice('confidence', 'confidence', present('confidence', [...CONFIDENCE].reverse())),
			this.groupChip,
			this.timeChip,
			h('button', {type: 'button', id: 'clear', onclick: () => this.clear()}, 'Show all'));
	}

	clear() {
		this.search.value = this.party.value = this.cause.value = this.confidence.value = '';
		this.time = this.group = null;
		this.filtered();
	}

	// For the summary: to show only those of a time, or of a row of its tables, and go there.
	show({time = null, group = null}) {
		this.clear();
		this.time = time;
		this.group = group;
		this.filtered();
		document.getElementById('transactions').scrollIntoView({block: 'start'});
	}

	// Says on a chip what it restricts the table to; null hides it.
	label(chip, text, words) {
		chip.hidden = text === null;
		if (text !== null) {
			chip.textContent = `${text} ×`;
			chip.setAttribute('aria-label', `Only ${words}: remove`);
		}
	}

	filtered() {
		const times = this.time && this.time.map((ms) => clock(ms, this.time[1] - this.time[0])).join(' to ');
		const group = this.group && this.group.join(' ');
		this.label(this.timeChip, times, 'from ' + times);
		this.label(this.groupChip, group, group);
		this.page = 0;
		this.apply();
	}

	sortBy(column) {
		this.sort = {column, direction: this.sort.column === column ? -this.sort.direction : column.first || 1};
		this.page = 0;
		this.apply();
	}

	apply() {
		const text = this.search.value.trim().toLowerCase();
		const {column, direction} = this.sort;
		const compare = column.compare || ((a, b) => a[column.key].localeCompare(b[column.key]));
		this.shown = this.rows.filter((row) => (text === '' || row.text.includes(text)) &&
			(this.party.value === '' || row.blame === this.party.value) &&
			(this.cause.value === '' || row.cause === this.cause.value) &&
			(this.confidence.value === '' || row.confidence === this.confidence.value) &&
			(this.group === null || row.groups[this.group[0]] === this.group[1]) &&
			(this.time === null || this.inTime(row)));
		this.shown.sort((a, b) => direction * compare(a, b) || a.index - b.index);
		for (const one of COLUMNS) {
			one.cell.setAttribute('aria-sort', one !== column ? 'none' : direction > 0 ? 'ascending' : 'descending');
		}
		this.draw();
	}

	inTime(row) {
		const ms = Date.parse(row.start);
		return ms >= this.time[0] && ms < this.time[1];
	}

	draw() {
		const from = this.page * PAGE_ROWS, rows = this.shown.slice(from, from + PAGE_ROWS);
		const kept = this.open;
		this.body.replaceChildren(...rows.map((row) => this.drawRow(row)));
		this.open = null;
		if (kept && rows.includes(kept.row)) { // as it was, with what was chosen in it
			this.attach(kept.row, kept.element);
		}
		const noun = this.report.summary.judged > 0 ? 'slow transaction' : 'transaction';
		this.live.textContent = this.shown.length === this.rows.length ? counted(this.rows.length, noun) :
			`${count(this.shown.length)} of ${counted(this.rows.length, noun)}`;
		this.drawPager();
	}

	drawRow(row) {
		const button = h('button', {type: 'button', class: 'open', 'aria-expanded': 'false', 'data-row': row.index,
			onclick: () => this.toggle(row)}, row.what);
		row.button = button;
		row.line = h('tr', {class: 'row'},
			h('td', {class: 'time'}, instant(row.start)),
			h('td', {class: 'number strong'}, duration(row.total)),
			h('td', {}, row.judged ? badge(row.blame) : ''),
			h('td', {}, row.cause),
			h('td', {}, row.judged ? row.confidence : ''),
			h('th', {scope: 'row'}, button),
			h('td', {class: 'address'}, row.server, row.service ? h('span', {class: 'note'}, ' ' + row.service) : null),
			h('td', {class: 'address'}, row.client));
		row.line.addEventListener('click', (event) => {
			if (!event.target.closest('button') && String(getSelection()) === '') {
				this.toggle(row);
			}
		});
		return row.line;
	}

	drawPager() {
		const last = Math.max(0, Math.ceil(this.shown.length / PAGE_ROWS) - 1);
		const from = this.page * PAGE_ROWS;
		const go = (title, page) => h('button', {type: 'button', disabled: page < 0 || page > last || page === this.page,
			onclick: () => {
				this.page = page;
				this.draw();
				this.live.textContent = `Page ${page + 1} of ${last + 1}`;
			}}, title);
		this.pager.hidden = last === 0;
		this.pager.replaceChildren(go('First', 0), go('Previous', this.page - 1),
			h('span', {}, `${count(from + 1)} to ${count(Math.min(from + PAGE_ROWS, this.shown.length))} of ${count(this.shown.length)}`),
			go('Next', this.page + 1), go('Last', last));
	}

	toggle(row) {
		const same = this.open && this.open.row === row;
		this.close();
		if (!same) {
			const {verdict, detail} = row.open();
			this.attach(row, h('tr', {class: 'detail'}, h('td', {colspan: COLUMNS.length},
				drawDetail(verdict, detail, this.report.page, row, () => this.close(true)))));
			remember(row.key);
		}
	}

	attach(row, element) {
		row.line.after(element);
		row.line.classList.add('opened');
		row.button.setAttribute('aria-expanded', 'true');
		this.open = {row, element};
	}

	close(focus) {
		if (this.open) {
			const {row, element} = this.open;
			element.remove();
			row.line.classList.remove('opened');
			row.button.setAttribute('aria-expanded', 'false');
			this.open = null;
			if (focus) {
				row.button.focus();
			}
		}
	}

	// Goes to the row that the address names, as "#0.1" does transaction 1 of stream 0.
	reveal(key) {
		const row = this.shown.find((one) => one.key === key);
		if (row) {
			this.page = Math.floor(this.shown.indexOf(row) / PAGE_ROWS);
			this.draw();
			this.toggle(row);
			row.button.scrollIntoView({block: 'start'});
		}
	}

	key(event) {
		if (event.key === 'Escape' && this.open) {
			this.close(true);
			event.preventDefault();
			return;
		}
		if (!event.target.matches('button.open')) {
			return;
		}
		const buttons = [...this.body.querySelectorAll('button.open')];
		const at = buttons.indexOf(event.target);
		const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1}[event.key];
		if (to !== undefined) {
			event.preventDefault();
			if (buttons[to]) {
				buttons[to].focus();
			}
		}
	}
}
