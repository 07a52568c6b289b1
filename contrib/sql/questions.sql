-- Questions that people ask, over the views of culprit.sql; the last one also over those of culprit-csv.sql.

-- 1. Who was to blame, day by day?
SELECT start::DATE AS day, blame, count(*) AS n, round(sum(total_ns) / 1e9, 3) AS seconds
FROM verdicts WHERE slow GROUP BY ALL ORDER BY ALL;

-- 2. Which servers cost the most time, and what for?
SELECT server, service, max_by(entry_cause, entry_ns) AS worst_cause, round(sum(entry_ns) / 1e9, 3) AS seconds
FROM ledger WHERE slow AND entry_party = 'server' GROUP BY ALL ORDER BY seconds DESC, server LIMIT 20;

-- 3. Which server got slower than the week before, and why?
WITH weeks AS (
    SELECT server, service, date_trunc('week', start) AS week, median(total_ns) AS median_ns, count(*) AS n
    FROM verdicts WHERE kind = 'request' GROUP BY ALL),
causes AS (
    SELECT server, date_trunc('week', start) AS week, entry_cause, sum(entry_ns) AS ns
    FROM ledger WHERE kind = 'request' GROUP BY ALL)
SELECT now.server, now.service, now.week::DATE AS week, round(before.median_ns / 1e6, 1) AS before_ms, round(now.median_ns / 1e6, 1) AS now_ms,
       (SELECT max_by(entry_cause, ns) FROM causes WHERE causes.server = now.server AND causes.week = now.week) AS cause
FROM weeks now JOIN weeks before ON before.server = now.server AND before.service IS NOT DISTINCT FROM now.service
    AND before.week = now.week - INTERVAL 7 DAY
WHERE now.median_ns > 1.2 * before.median_ns ORDER BY now.median_ns - before.median_ns DESC;

-- 4. How long do answers of each service take?
SELECT service, count(*) AS n, round(quantile_cont(total_ns, 0.5) / 1e6, 1) AS p50_ms, round(quantile_cont(total_ns, 0.95) / 1e6, 1) AS p95_ms,
       round(quantile_cont(total_ns, 0.99) / 1e6, 1) AS p99_ms, round(100 * avg(slow::INT), 1) AS slow_percent
FROM verdicts WHERE kind = 'request' GROUP BY ALL ORDER BY n DESC, service;

-- 5. Which clients suffer from the network, and how?
SELECT client, entry_cause, count(*) AS n, round(sum(entry_ns) / 1e9, 3) AS seconds
FROM ledger WHERE slow AND entry_party = 'network' GROUP BY ALL ORDER BY seconds DESC, client LIMIT 20;

-- 6. Of the time of all answers, how much is whose?
SELECT entry_party, round(sum(entry_ns) / 1e9, 3) AS seconds, round(100 * sum(entry_ns) / sum(sum(entry_ns)) OVER (), 1) AS percent
FROM ledger WHERE kind = 'request' GROUP BY ALL ORDER BY seconds DESC;

-- 7. Which requests are slow again and again?
SELECT coalesce(name, '?') AS name, server, count(*) AS n, round(median(total_ns) / 1e6, 1) AS median_ms, mode(cause) AS cause
FROM verdicts WHERE slow AND kind = 'request' GROUP BY ALL ORDER BY n DESC, name, server LIMIT 20;

-- 8. Which connections lose packets?
SELECT client, server, server_port, c2s.retransmitted + s2c.retransmitted AS retransmitted,
       round(100 * (c2s.retransmitted + s2c.retransmitted) / (c2s.segments + s2c.segments), 1) AS percent, loss_side
FROM connections WHERE c2s.retransmitted + s2c.retransmitted > 0 ORDER BY retransmitted DESC, client LIMIT 20;

-- 9. How far are the servers?
SELECT server, count(*) AS connections, round(min(rtt_ns) / 1e6, 2) AS least_ms, round(median(rtt_ns) / 1e6, 2) AS median_ms
FROM connections WHERE rtt_ns IS NOT NULL AND NOT rtt_uncertain GROUP BY ALL ORDER BY median_ms DESC, server;

-- 10. When in the day is it slow?
SELECT extract(hour FROM start) AS hour, count(*) AS n, count(*) FILTER (WHERE slow) AS slow
FROM verdicts GROUP BY ALL ORDER BY ALL;

-- 11. Which verdicts need a second look?
SELECT server, start, blame, cause, confidence, certainty, doubts
FROM verdicts WHERE slow AND confidence <> 'high' ORDER BY total_ns DESC LIMIT 20;

-- 12. Can the captures be relied on?
SELECT parse_filename(filename) AS report, packets, tcp_packets, dropped, damaged, truncated_files, complete FROM summaries ORDER BY ALL;

-- 13. Which frames to open for the ten slowest?
SELECT file, stream, request.first_frame AS first_frame, response.last_frame AS last_frame, round(total_ns / 1e9, 3) AS seconds, why
FROM verdicts WHERE slow ORDER BY total_ns DESC LIMIT 10;

-- 14. Do ledgers add up, and do JSON and CSV agree?
SELECT count(*) AS verdicts, count(*) FILTER (WHERE list_sum(map_values(v.ledger)) <> v.total_ns) AS wrong_sums,
       count(*) FILTER (WHERE c.total_ns IS DISTINCT FROM v.total_ns OR c.cause IS DISTINCT FROM v.cause OR c.start <> v.start) AS disagree
FROM verdicts v LEFT JOIN verdicts_csv c ON c.stream = v.stream AND c.transaction = v.transaction
    AND parse_filename(c.filename, true) = parse_filename(v.filename, true);
