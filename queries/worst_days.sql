-- purpose: the sessions with the lowest returns
-- parameters:
--   n  int64 = 10, how many of each run
-- columns:
--   run      text, name of the run
--   rank     int64, 1 for the lowest return
--   session  date, label of the trading day
--   return   float64, fraction; pnl / equity at the end of the session before
--   pnl      float64, account currency
--   equity   float64, account currency, at the end of the session
--   fills    int64, executions
-- grain: one session of one run; sessions without a return are left out
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY run ORDER BY "return", session) AS rank
    FROM sessions
    WHERE "return" IS NOT NULL
)
SELECT run, rank, session, "return", pnl, equity, fills
FROM ranked
WHERE rank <= $n
ORDER BY run, rank
