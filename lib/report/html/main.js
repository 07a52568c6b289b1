// Reads the data and draws the page.

function lead(report) {
	const {summary, rows} = report;
	const when = summary.first ? ` between ${instant(summary.first, 0)} and ${instant(summary.last, 0)} UTC` : '';
	const packets = summary.packets > 0 ? counted(summary.packets, 'packet') +
		(summary.files > 1 ? ` of ${count(summary.files)} captures` : '') + when + '. ' : '';
	if (summary.judged === 0) {
		return packets + (rows.length > 0 ? 'No transaction was judged: all are listed. Pipe them through culprit classify.' :
			summary.connections > 0 ? 'The connections are not analysed. Pipe them through culprit analyze and culprit classify.' :
				'Nothing to report.');
	}
	if (summary.slow === 0) {
		return packets + `Nothing was slow: none of ${counted(summary.transactions, 'transaction')}.`;
	}
	const parties = BLAMED.filter((party) => summary.slow_by_party[party] > 0)
		.map((party) => `${partyName(party)} ${count(summary.slow_by_party[party])}`);
	return packets + `${count(summary.slow)} of ${counted(summary.transactions, 'transaction')} ` +
		`${summary.slow === 1 ? 'was' : 'were'} slow: ${parties.join(', ')}.`;
}

// What keeps the page from being the whole truth.
function notices(report) {
	const {summary, listed} = report;
	const notes = [];
	if (!summary.complete) {
		notes.push('Not all of the input could be read: this is what was whole.');
	}
	const unread = summary.unread_files || 0;
	if (summary.damaged > 0 || summary.truncated_files > 0 || unread > 0) {
		notes.push(`The captures were damaged in ${counted(summary.damaged, 'place')}, ${count(summary.truncated_files)} cut short, ` +
			`${count(unread)} not opened or not read to their end.`);
	}
	if (summary.dropped > 0) {
		notes.push(`The capturing system dropped ${counted(summary.dropped, 'packet')}.`);
	}
	if (listed.not_listed > 0) {
		notes.push(`${counted(listed.not_listed, 'transaction')} had no room on this page and are only counted: ` +
			'make several with --since and --until, or raise what counts as slow.');
	}
	document.getElementById('notices').append(...notes.map((note) => h('p', {class: 'notice'}, note)));
}

function main() {
	const report = readReport(document.getElementById('data').textContent);
	const lines = lead(report);
	document.getElementById('lead').textContent = lines;
	document.title = 'culprit: ' + (report.summary.slow > 0 ? counted(report.summary.slow, 'slow transaction') : 'report');
	notices(report);
	const table = report.rows.length > 0 ? new Table(report) : null;
	drawSummary(report, (only) => table && table.show(only));
	drawFindings(report);
	if (report.summary.judged === 0) {
		document.getElementById('transactions-title').textContent = 'Transactions';
	}
	document.getElementById('about').append(`Made by culprit ${report.page.version}. Times are in UTC. ` +
		'Nothing on this page came from a network, and nothing in it goes to one.');
	if (table && location.hash.length > 1) {
		table.reveal(location.hash.slice(1));
	} else if (table && report.rows.length === 1) {
		table.toggle(report.rows[0]);
	}
}

main();
