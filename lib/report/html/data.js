// The report's records: lines of JSON. Of a transaction only what the table
// shows is kept; its line is read again, with that of its detail, when it is
// opened.

function readReport(text) {
	const report = {rows: [], findings: [], groups: {service: [], server: [], client: [], cause: []}};
	const lines = text.split('\n');
	for (let i = 0; i < lines.length; i++) {
		if (lines[i] === '' || lines[i].startsWith('{"record":"detail"')) {
			continue;
		}
		const record = JSON.parse(lines[i]);
		if (record.record === 'verdict' || record.record === 'transaction') {
			report.rows.push(makeRow(record, report.rows.length, () => ({
				verdict: JSON.parse(lines[i]), detail: JSON.parse(lines[i + 1])})));
		} else if (record.record === 'finding') {
			report.findings.push(record);
		} else if (record.record === 'group') {
			report.groups[record.by].push(record);
		} else {
			report[record.record] = record;
		}
	}
	return report;
}

const endpoint = (address, port) => address === null ? 'unknown' :
	(address.includes(':') ? '[' + address + ']' : address) + ':' + port;

function what(verdict) {
	if (verdict.kind === 'tls-handshake') {
		return 'TLS handshake' + (verdict.server_name ? ' with ' + clean(verdict.server_name) : '');
	}
	return verdict.name ? clean(verdict.name) : verdict.kind;
}

// The cause that a transaction nobody judged spent most of its time on.
function longestCause(ledger) {
	return Object.keys(ledger).reduce((most, cause) => ledger[cause] > (ledger[most] || 0) ? cause : most, 'none');
}

// What the tables of the summary call it: see cu_group_name, of which a name has 63 bytes, and what is not known is 0.
function groupsOf(row, verdict) {
	return {
		service: row.service ? clean(verdict.service.slice(0, 63)) : 'port ' + (verdict.server_port || 0),
		server: verdict.server === null ? '-:0' : row.server,
		client: verdict.client === null ? '-' : verdict.client,
		cause: row.cause,
	};
}

function makeRow(verdict, index, open) {
	const judged = verdict.record === 'verdict';
	const row = {
		index,
		open,
		judged,
		key: verdict.stream + '.' + verdict.transaction,
		start: verdict.start,
		total: verdict.total_ns,
		blame: judged ? verdict.blame : 'unknown',
		cause: judged ? verdict.cause : longestCause(verdict.ledger),
		confidence: judged ? verdict.confidence : 'none',
		what: what(verdict),
		client: endpoint(verdict.client, verdict.client_port),
		server: endpoint(verdict.server, verdict.server_port),
		service: judged && verdict.service ? clean(verdict.service) : '',
		stream: verdict.stream,
		file: verdict.file ? clean(verdict.file) : '',
	};
	row.groups = groupsOf(row, verdict);
	row.text = [row.what, row.client, row.server, row.service, verdict.server_name || '', row.cause, partyName(row.blame),
		row.confidence, row.file, verdict.rule || '', 'port ' + verdict.server_port, 'stream ' + row.stream].join('\n').toLowerCase();
	return row;
}

// Transmission Control Protocol: RFC 9293 and, for the last, RFC 9768.
const FLAGS = [[2, 'SYN'], [1, 'FIN'], [4, 'RST'], [8, 'PSH'], [16, 'ACK'], [32, 'URG'], [64, 'ECE'], [128, 'CWR'],
	[256, 'AE']];
const SYN = 2, FIN = 1, RST = 4, ACK = 16;

// Bits of marks, by enum cu_event_kind.
const MARK = {retransmission: 1, fast: 2, spurious: 3, outOfOrder: 4, lost: 5, ackLost: 6, duplicateAck: 7,
	keepAlive: 8, keepAliveAck: 9, zeroWindow: 10, zeroWindowProbe: 11, zeroWindowProbeAck: 12, windowFull: 13,
	windowUpdate: 14, reset: 15, icmp: 16, duplicateFrame: 17};

// What is sent to be answered, and carries nothing or one byte to be refused.
const isProbe = (segment) => segment.has(MARK.keepAlive) || segment.has(MARK.zeroWindowProbe);

// A detail's segments (see html.h) as objects; what is left out is {leftOut}.
function readSegments(detail, page) {
	let file = null, fresh = false;
	const items = [];
	for (const item of detail.segments || []) {
		if (typeof item === 'string') {
			file = clean(item);
			fresh = true;
		} else if (typeof item === 'number') {
			items.push({leftOut: item});
		} else {
			items.push(makeSegment(item, file, page));
			if (fresh) {
				items[items.length - 1].notes.push('in ' + lastPart(file));
				fresh = false;
			}
		}
	}
	findLost(items.filter((item) => item.leftOut === undefined));
	return items;
}

// A segment whose bytes were sent again for a reason, and not acknowledged before, has not arrived as far as is seen.
function findLost(segments) {
	segments.forEach((again, i) => {
		if (!again.resent || again.needless) {
			return;
		}
		for (let k = i - 1; k >= 0; k--) {
			const one = segments[k];
			if (one.direction !== again.direction && one.ack > again.seq) {
				return;
			}
			if (one.direction === again.direction && one.end > one.seq && one.seq < again.end && one.end > again.seq) {
				one.lost = true;
				one.notes.unshift('sent again in frame ' + again.frame);
				return;
			}
		}
	});
}

function makeSegment(item, file, page) {
	const [frame, time, direction, seq, ack, bytes, flags, window, marks = 0, how = 0, sack = [], hint = ''] = item;
	const segment = {frame, time, direction, seq, ack, bytes, flags, window, marks, sack, file, hint: clean(hint)};
	const has = (kind) => (marks >> kind & 1) === 1;
	segment.has = has;
	segment.icmp = flags < 0;
	segment.end = segment.icmp ? seq : seq + bytes + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
	segment.resent = has(MARK.retransmission) || has(MARK.fast) || has(MARK.spurious);
	segment.needless = how >> 3 > 0 || has(MARK.spurious);
	segment.flagNames = segment.icmp ? 'ICMP' :
		FLAGS.filter(([bit]) => flags & bit).map(([, name]) => name).join(' ');
	segment.notes = notesOf(segment, how, page);
	return segment;
}

// What Wireshark calls it, and what is known beyond.
function notesOf(segment, how, page) {
	const better = segment.has(MARK.fast) || segment.has(MARK.spurious) ? MARK.retransmission : 0;
	const notes = page.events.filter((words, kind) => kind > 0 && kind !== better && segment.has(kind));
	if (how % 8 > 0) {
		notes.push('sent by ' + page.resent[how % 8].replaceAll('_', ' '));
	}
	if (how >> 3 > 0) {
		notes.push('its original had arrived');
	}
	if (segment.icmp) {
		notes.push(`type ${segment.window >> 8} code ${segment.window & 255}`);
	}
	for (let i = 0; i < segment.sack.length; i += 2) {
		notes.push(`SACK ${segment.sack[i]}-${segment.sack[i + 1]}`);
	}
	if (segment.hint) {
		notes.push(segment.hint);
	}
	return notes;
}

// Of a path; the detail has it in full.
const lastPart = (path) => path.slice(path.lastIndexOf('/') + 1);

// "frame 5 of 13h.pcap"
const frameName = (segment) => 'frame ' + segment.frame + (segment.file ? ' of ' + lastPart(segment.file) : '');

// "seq 1, ack 1, 1448 bytes, PSH ACK"
function segmentWords(segment) {
	const words = [`seq ${segment.seq}`];
	if (segment.ack >= 0) {
		words.push(`ack ${segment.ack}`);
	}
	words.push(`len ${segment.bytes}`);
	return words.join(' ');
}
