-- culprit's reports as CSV (report --format csv) as tables, for DuckDB:
-- verdicts_csv and ledger_csv, as those of culprit.sql.
--
--   SET VARIABLE culprit_csv = '/var/lib/culprit/reports/*.csv';   -- one file, a pattern, or a list
--   .read culprit-csv.sql
--   FROM verdicts_csv WHERE slow;

SET VARIABLE culprit_csv = coalesce(getvariable('culprit_csv'), 'reports/*.csv');

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
