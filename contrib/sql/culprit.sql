-- culprit's reports as tables, for DuckDB. Columns have the names of the JSON
-- Schema (culprit.schema.json), and types.
--
--   duckdb -init culprit.sql
--   SET VARIABLE culprit_json = '/var/lib/culprit/reports/*.json';   -- one file, a pattern, or a list
--   FROM verdicts WHERE slow;
--
-- verdicts and ledger, connections, findings, summaries are of JSON Lines
-- (report --format json); verdicts_csv and ledger_csv of CSV (culprit_csv).
-- filename is the report that a row came from.

SET VARIABLE culprit_json = 'reports/*.json';
SET VARIABLE culprit_csv = 'reports/*.csv';

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
WHERE record = 'connection';

CREATE OR REPLACE VIEW findings AS
SELECT * EXCLUDE (record) REPLACE (start::TIMESTAMP_NS AS start)
FROM read_json(getvariable('culprit_json'), format = 'newline_delimited', filename = true, columns = {
    record: 'VARCHAR', kind: 'VARCHAR', address: 'VARCHAR', port: 'USMALLINT', blame: 'VARCHAR', confidence: 'VARCHAR',
    count: 'UBIGINT', first_frame: 'UBIGINT', last_frame: 'UBIGINT', first_file: 'VARCHAR', last_file: 'VARCHAR',
    start: 'VARCHAR', duration_ns: 'BIGINT', rule: 'VARCHAR', why: 'VARCHAR', advice: 'VARCHAR'})
WHERE record = 'finding';

CREATE OR REPLACE VIEW summaries AS
SELECT * EXCLUDE (record) REPLACE (first::TIMESTAMP_NS AS first, last::TIMESTAMP_NS AS last)
FROM read_json(getvariable('culprit_json'), format = 'newline_delimited', filename = true, columns = {
    record: 'VARCHAR', packets: 'UBIGINT', tcp_packets: 'UBIGINT', connections: 'UBIGINT', transactions: 'UBIGINT',
    judged: 'UBIGINT', slow: 'UBIGINT', findings: 'UBIGINT', files: 'UBIGINT', first: 'VARCHAR', last: 'VARCHAR',
    complete: 'BOOLEAN', damaged: 'UBIGINT', skipped_bytes: 'UBIGINT', truncated_files: 'UBIGINT', dropped: 'UBIGINT'})
WHERE record = 'summary';

CREATE OR REPLACE VIEW verdicts_csv AS
SELECT * REPLACE (start::TIMESTAMP_NS AS start)
FROM read_csv(getvariable('culprit_csv'), header = true, union_by_name = true, filename = true, all_varchar = false, types = {
    'stream': 'UBIGINT', 'transaction': 'UBIGINT', 'file': 'VARCHAR', 'name': 'VARCHAR', 'server_name': 'VARCHAR',
    'client': 'VARCHAR', 'client_port': 'USMALLINT', 'server': 'VARCHAR', 'server_port': 'USMALLINT', 'service': 'VARCHAR',
    'start': 'VARCHAR', 'total_ns': 'BIGINT', 'slow': 'BOOLEAN', 'slow_over_ns': 'BIGINT', 'rule': 'VARCHAR', 'rtt_ns': 'BIGINT',
    'request_bytes': 'UBIGINT', 'response_bytes': 'UBIGINT', 'request_first_frame': 'UBIGINT', 'request_last_frame': 'UBIGINT',
    'request_acked_frame': 'UBIGINT', 'response_first_frame': 'UBIGINT', 'response_last_frame': 'UBIGINT',
    'why': 'VARCHAR', 'advice': 'VARCHAR'});

CREATE OR REPLACE VIEW ledger_csv AS
SELECT filename, stream, transaction, start, server, server_port, service, slow, blame, total_ns,
       regexp_replace(regexp_extract(entry, '^ledger_(.*)_ns$', 1), '_', '.') AS entry_cause, entry_ns
FROM (UNPIVOT verdicts_csv ON COLUMNS('^ledger_.*_ns$')::BIGINT INTO NAME entry VALUE entry_ns)
WHERE entry_ns > 0;
