-- purpose: every time that equity fell below its highest so far, the deepest first, at the ends of sessions
-- parameters:
--   n  int64 = 10, how many of each run
-- columns:
--   run        text, name of the run
--   rank       int64, 1 for the deepest
--   depth      float64, fraction; 1 - lowest equity / highest equity before it
--   peak       float64, account currency, highest equity before it; the start's cash counts
--   lowest     float64, account currency, lowest equity in it
--   first      date, first session that ended below the peak
--   bottom     date, first session that ended at the lowest
--   recovered  date, first session that ended at the peak or above it again; null where none has
--   sessions   int64, sessions that ended below the peak
-- grain: one drawdown of one run
WITH started AS (
    SELECT
        run,
        session,
        equity,
        greatest(
            first_value(equity - pnl) OVER (PARTITION BY run ORDER BY session),
            max(equity) OVER (PARTITION BY run ORDER BY session)
        ) AS peak
    FROM sessions
),
placed AS (
    SELECT *, count(*) FILTER (WHERE equity >= peak) OVER (PARTITION BY run ORDER BY session) AS stretch
    FROM started
),
recovered AS (
    SELECT run, stretch, min(session) AS session
    FROM placed
    WHERE equity >= peak
    GROUP BY run, stretch
),
fallen AS (
    SELECT
        run,
        stretch,
        1 - min(equity) / max(peak) AS depth,
        max(peak) AS peak,
        min(equity) AS lowest,
        min(session) AS first,
        arg_min(session, (equity, session)) AS bottom,
        count(*) AS sessions
    FROM placed
    WHERE equity < peak
    GROUP BY run, stretch
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY run ORDER BY depth DESC, first) AS rank
    FROM fallen
)
SELECT d.run, d.rank, d.depth, d.peak, d.lowest, d.first, d.bottom, r.session AS recovered, d.sessions
FROM ranked AS d
LEFT JOIN recovered AS r ON r.run = d.run AND r.stretch = d.stretch + 1
WHERE d.rank <= $n
ORDER BY d.run, d.rank
