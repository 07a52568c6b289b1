-- culprit's reports as tables, for DuckDB. Columns have the names of the JSON
-- Schema (culprit.schema.json), and types.
--
--   SET VARIABLE culprit_json = '/var/lib/culprit/reports/*.json';   -- one file, a pattern, or a list
--   .read culprit.sql
--   FROM verdicts WHERE slow;
--
-- What is set before has to be there, as views are made of what they find; it
-- may be set again afterwards. By default it is reports/*.json.
--
-- verdicts and ledger, connections, findings, summaries are of JSON Lines
-- (report --format json); culprit-csv.sql has those of CSV. filename is the
-- report that a row came from.
--
-- A verdict is in the report of the day it began in. Connections and findings
-- are in the report of each day that they reach into, and once in these views:
-- of reports in one folder, that which saw the most of it. A connection that
-- began more than culprit-nightly's --overlap before midnight begins then for
-- the report of the day after, and is in both.

SET VARIABLE culprit_json = coalesce(getvariable('culprit_json'), 'reports/*.json');

CREATE OR REPLACE VIEW verdicts AS
SELECT * EXCLUDE (record) REPLACE (start::TIMESTAMP_NS AS start)
FROM read_json(getvariable('culprit_json'), format = 'newline_delimited', filename = true, columns = {
    record: 'VARCHAR', stream: 'UBIGINT', transaction: 'UBIGINT', file: 'VARCHAR', kind: 'VARCHAR', outcome: 'VARCHAR',
    name: 'VARCHAR', server_name: 'VARCHAR', client: 'VARCHAR', client_port: 'USMALLINT', server: 'VARCHAR',
    server_port: 'USMALLINT', service: 'VARCHAR', start: 'VARCHAR', total_ns: 'BIGINT', slow: 'BOOLEAN',
    slow_over_ns: 'BIGINT', blame: 'VARCHAR', cause: 'VARCHAR', confidence: 'VARCHAR', rule: 'VARCHAR', rtt_ns: 'BIGINT',
    vantage: 'VARCHAR', client_distance_ns: 'BIGINT', server_distance_ns: 'BIGINT', loss_side: 'VARCHAR',
    certainty: 'UTINYINT', doubts: 'VARCHAR[]', ledger: 'MAP(VARCHAR, BIGINT)', ledger_frames: 'MAP(VARCHAR, UBIGINT[])',
    request: 'STRUCT(bytes UBIGINT, first_frame UBIGINT, last_frame UBIGINT, retransmitted UBIGINT, acked_frame UBIGINT, ack_delay_ns BIGINT)',
    response: 'STRUCT(bytes UBIGINT, first_frame UBIGINT, last_frame UBIGINT, retransmitted UBIGINT, first_byte_ns BIGINT)',
    events: 'STRUCT(kind VARCHAR, "from" VARCHAR, frame UBIGINT, time_ns BIGINT, count UBIGINT)[]',
    why: 'VARCHAR', advice: 'VARCHAR'})
WHERE record = 'verdict';

-- A row for each entry of a verdict's ledger.
CREATE OR REPLACE VIEW ledger AS
SELECT * EXCLUDE (entry), entry.key AS entry_cause, split_part(entry.key, '.', 1) AS entry_party, entry.value AS entry_ns
FROM (SELECT filename, stream, transaction, start, client, server, server_port, service, kind, slow, blame, total_ns,
             unnest(map_entries(ledger)) AS entry FROM verdicts);

CREATE OR REPLACE VIEW connections AS
SELECT * EXCLUDE (record) REPLACE (start::TIMESTAMP_NS AS start)
FROM read_json(getvariable('culprit_json'), format = 'newline_delimited', filename = true, columns = {
    record: 'VARCHAR', stream: 'UBIGINT', file: 'VARCHAR', client: 'VARCHAR', client_port: 'USMALLINT', server: 'VARCHAR',
    server_port: 'USMALLINT', start: 'VARCHAR', duration_ns: 'BIGINT', first_frame: 'UBIGINT', last_frame: 'UBIGINT',
    role: 'VARCHAR', "end": 'VARCHAR', continued: 'BOOLEAN', completeness: 'UTINYINT', vantage: 'VARCHAR', rtt_ns: 'BIGINT',
    client_rtt_ns: 'BIGINT', server_rtt_ns: 'BIGINT', handshake_rtt_ns: 'BIGINT', rtt_uncertain: 'BOOLEAN', mss: 'UINTEGER',
    window_scaled: 'BOOLEAN', close: 'VARCHAR', closed_by: 'VARCHAR', close_frame: 'UBIGINT', loss_side: 'VARCHAR',
    c2s: 'STRUCT(segments UBIGINT, bytes UBIGINT, unique_bytes UBIGINT, retransmitted UBIGINT, timeouts UBIGINT, zero_windows UBIGINT, gaps UBIGINT, gap_bytes UBIGINT, rtt_min_ns BIGINT, rtt_median_ns BIGINT, rtt_p99_ns BIGINT)',
    s2c: 'STRUCT(segments UBIGINT, bytes UBIGINT, unique_bytes UBIGINT, retransmitted UBIGINT, timeouts UBIGINT, zero_windows UBIGINT, gaps UBIGINT, gap_bytes UBIGINT, rtt_min_ns BIGINT, rtt_median_ns BIGINT, rtt_p99_ns BIGINT)'})
WHERE record = 'connection'
QUALIFY filename = first_value(filename) OVER (
    PARTITION BY parse_dirpath(filename), client, client_port, server, server_port, start ORDER BY duration_ns DESC, filename);

CREATE OR REPLACE VIEW findings AS
SELECT * EXCLUDE (record) REPLACE (start::TIMESTAMP_NS AS start)
FROM read_json(getvariable('culprit_json'), format = 'newline_delimited', filename = true, columns = {
    record: 'VARCHAR', kind: 'VARCHAR', address: 'VARCHAR', port: 'USMALLINT', blame: 'VARCHAR', confidence: 'VARCHAR',
    count: 'UBIGINT', first_frame: 'UBIGINT', last_frame: 'UBIGINT', first_file: 'VARCHAR', last_file: 'VARCHAR',
    start: 'VARCHAR', duration_ns: 'BIGINT', rule: 'VARCHAR', why: 'VARCHAR', advice: 'VARCHAR'})
WHERE record = 'finding'
QUALIFY filename = first_value(filename) OVER (
    PARTITION BY parse_dirpath(filename), kind, address, port, start ORDER BY duration_ns DESC, filename);

CREATE OR REPLACE VIEW summaries AS
SELECT * EXCLUDE (record) REPLACE (first::TIMESTAMP_NS AS first, last::TIMESTAMP_NS AS last)
FROM read_json(getvariable('culprit_json'), format = 'newline_delimited', filename = true, columns = {
    record: 'VARCHAR', packets: 'UBIGINT', tcp_packets: 'UBIGINT', connections: 'UBIGINT', transactions: 'UBIGINT',
    judged: 'UBIGINT', slow: 'UBIGINT', findings: 'UBIGINT', files: 'UBIGINT', first: 'VARCHAR', last: 'VARCHAR',
    complete: 'BOOLEAN', damaged: 'UBIGINT', skipped_bytes: 'UBIGINT', truncated_files: 'UBIGINT', dropped: 'UBIGINT'})
WHERE record = 'summary';
